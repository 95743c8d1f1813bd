// The connection to the daemon that the simulated libraries share.
#pragma once
#include <stddef.h>
#include <stdint.h>

// One argument: what to send, and what may be written through it.
struct sim_arg {
  const void *in; // NULL: the pointer is NULL, or there is nothing to send
  uint32_t len;
  void *out;
  uint32_t cap;
  int required; // a NULL is an error
};

struct conn {
  int fd;
  char *buf; // the request, then the answer without its size
  size_t cap, len;
};

// These give 1 for success and 0 for a connection that is of no use any more.
int conn_request(struct conn *c, const char *name, const struct sim_arg *args, int count);
int conn_exchange(struct conn *c);
void conn_drop(struct conn *c);
// conn_unix connects to a socket; -1 when nobody serves it.
int conn_unix(const char *path);
