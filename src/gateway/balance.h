/* balance.h - which of a model's upstreams answers a request: bookkeeping only, no I/O and no clock.
 *
 * Each upstream is known well or not: a probe asks it from time to time, and requests that fail count too. One that
 * failed is left alone for a pause that doubles each time; after the pause one request tries it, and only when that
 * went well the others follow. Among those that are well, a request goes to the one that its prompt's beginning
 * prefers, for the sake of the prefix cache there, unless that is loaded more than twice as much as the least
 * loaded one: then to the least loaded.
 *
 * Preference: weighted rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings to increase hit rates",
 * 1998; Schindelhauer and Schomaker, "Weighted distributed hash tables", 2005): when one leaves, only its own
 * prompts move.
 */
#ifndef CURLEW_GATEWAY_BALANCE_H
#define CURLEW_GATEWAY_BALANCE_H

#include <stdbool.h>
#include <stdint.h>

enum balance_fault {
    BALANCE_UNREACHABLE, // no connection, or it broke: left alone at once
    BALANCE_BAD,         // it answered, but not well: left alone after some in a row
};

#define BALANCE_PAUSE_MS     500   // the first one
#define BALANCE_PAUSE_MAX_MS 60000
#define BALANCE_BAD_MAX      3     // bad answers in a row

/* One upstream; starts zeroed with hash and weight set. */
struct balance {
    uint64_t hash;    // of what it is called
    int      weight;  // >= 1
    int      n_running;
    bool     asked;   // a probe has answered, or a request went well
    bool     sick;    // by the last probe
    int      n_bad;   // bad answers in a row
    unsigned pause_ms; // of the last pause; 0: none since it was well
    uint64_t until_us; // the pause's end
    bool     trial;   // one request tries it
};

/* Would it get a request now? */
bool balance_usable(const struct balance *b, uint64_t now_us);

/* The index of the one to ask, of n; those whose bit is set in `tried` are left out. prefix: hash of the prompt's
 * beginning, 0 for none. When none is usable the one whose pause ends first is taken: nothing better is left. -1: all
 * have been tried. */
int balance_pick(struct balance *const *b, int n, uint64_t tried, uint64_t prefix, uint64_t now_us);

/* A request goes there; it ended well, badly, or nobody knows (cancelled). */
void balance_begin(struct balance *b, uint64_t now_us);
void balance_good(struct balance *b);
void balance_fail(struct balance *b, enum balance_fault f, uint64_t now_us);
void balance_end(struct balance *b);   // after one of these two, or alone
void balance_probe(struct balance *b, bool well);

#endif
