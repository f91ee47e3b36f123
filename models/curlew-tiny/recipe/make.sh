#!/bin/sh
# make.sh - make curlew-tiny.gguf from nothing: ./make.sh [OUT_DIR]
#
# Needs Debian's python3, python3-torch, python3-numpy, python3-jinja2 and a C compiler; no network,
# no GPU.  README.md says how long it took, and on what.  WORKERS is the number of processes.
set -eu
cd "$(dirname "$0")"
out=${1:-out}
mkdir -p "$out"
export OMP_NUM_THREADS=1

python3 chat.py                                     # template and training text are the same
python3 ops.py                                      # the C kernels against plain torch
python3 bpe.py "$out/tok.json" 3072 11 60000        # vocabulary
python3 train.py --tok "$out/tok.json" --out "$out/model.pt" --seed 1 \
	--steady "${STEADY:-1000}" --decay "${DECAY:-1260}" --workers "${WORKERS:-2}"
python3 gguf_write.py "$out/model.pt" "$out/tok.json" "$out/curlew-tiny.gguf"
python3 evaluate.py --gguf "$out/curlew-tiny.gguf"
