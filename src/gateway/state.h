/* state.h - what may be the matter with a model. */
#ifndef CURLEW_GATEWAY_STATE_H
#define CURLEW_GATEWAY_STATE_H

enum model_state {
    MODEL_LOADING,    // its worker was started and reads it
    MODEL_READY,
    MODEL_RESTARTING, // its worker ended; another one comes
    MODEL_FAILED,     // it cannot be loaded; the reason is known
    MODEL_STATES
};

#endif
