/* lookup.h - names of hosts to addresses, on a thread: the system's resolver may take its time.
 *
 * Hosts are told once and looked up every minute, and when somebody asks for it. One thread owns the object; results
 * wait until they are fetched. */
#ifndef CURLEW_PROG_LOOKUP_H
#define CURLEW_PROG_LOOKUP_H

#include "base/err.h"
#include "base/str.h"

#define LOOKUP_HOSTS      256
#define LOOKUP_HOST_BYTES 256
#define LOOKUP_ADDR_BYTES 512 // "192.0.2.1,2001:db8::1", cut between two

struct lookup;

/* The thread starts with the first host. */
NODISCARD int lookup_new(struct lookup **ret, struct err *e);
void          lookup_free(struct lookup *l); // a lookup under way is not waited for; NULL is fine

int lookup_fd(const struct lookup *l); // readable when there are results
/* Look this host up now and from now on. Error: TOO_LARGE (too many), NO_MEMORY. */
NODISCARD int lookup_add(struct lookup *l, struct str host, struct err *e);
void          lookup_again(struct lookup *l); // all of them, soon: some seconds after the last time at the earliest

/* The next result, false when there is none. addr "": the host has none. */
bool lookup_take(struct lookup *l, char host[LOOKUP_HOST_BYTES], char addr[LOOKUP_ADDR_BYTES]);

#endif
