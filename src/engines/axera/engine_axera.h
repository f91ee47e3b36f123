/* engine_axera.h - models on Axera's NPUs, run by the vendor's own program.
 *
 * The program is started and signalled by a keeper (os/keeper.h) whose socket comes as the file AXERA_KEEPER;
 * engine_conf.own is a struct axera_own. One run at a time. The vocabulary is the engine's (engine_info.tok).
 * When the program ends or hangs, the run fails and this process ends: the supervisor starts both again. */
#ifndef CURLEW_ENGINES_AXERA_ENGINE_AXERA_H
#define CURLEW_ENGINES_AXERA_ENGINE_AXERA_H

#include "engine.h"

#define AXERA_KEEPER "keeper"

struct axera_own {
    const char        *path;   // run script or folder; nw1: program or socket
    bool               nw1;    // engine_child
    const char *const *option; // [n_option] KEY=VALUE
    int                n_option;
};

extern const struct engine_ops engine_axera;
extern const struct engine_ops engine_child; // programs of the user's own: docs/npu-children.md

#endif
