#!/bin/sh
# make.sh - make curlew-tiny.gguf from nothing: ./make.sh [OUT_DIR]
#
# Needs Debian's python3, python3-torch, python3-numpy, python3-jinja2 and a C compiler; no network,
# no GPU.  README.md says how long it took, and on what.  WORKERS is the number of processes.
set -eu
cd "$(dirname "$0")"
out=${1:-out}
mkdir -p "$out"
python=${PYTHON:-python3}
export OMP_NUM_THREADS=1

$python chat.py                                     # template and training text are the same
$python ops.py                                      # the C kernels against plain torch
$python bpe.py "$out/tok.json" 3072 11 60000        # vocabulary
$python train.py --tok "$out/tok.json" --out "$out/model.pt" --seed 1 \
	--steady "${STEADY:-1200}" --decay "${DECAY:-1500}" --workers "${WORKERS:-2}"
$python gguf_write.py "$out/model.pt" "$out/tok.json" "$out/curlew-tiny.gguf"
$python evaluate.py --gguf "$out/curlew-tiny.gguf"
