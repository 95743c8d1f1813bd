// The two parts of libdcgm.so.4: link.c keeps connections to engines, dcgm.c has DCGM's functions.
#pragma once
#include "conn.h"
#include <dcgm_agent.h>
#include <dcgm_structs.h>

// What goes into a request: it grows, and bad says that memory ran out.
struct blob {
  char *data;
  size_t len, cap, at; // at: how far an answer was read
  int bad;
};

void put32(struct blob *b, uint32_t v);
void put64(struct blob *b, uint64_t v);
void put_double(struct blob *b, double v);
void put_text(struct blob *b, const char *s);
uint32_t get32(struct blob *b);
uint64_t get64(struct blob *b);
// get_text copies a string and ends it; what does not fit is cut.
void get_text(struct blob *b, char *out, size_t n);

// ask makes one call: it frees the request, and fills the answer, which the caller frees.
dcgmReturn_t ask(dcgmHandle_t handle, const char *name, struct blob *request, struct blob *answer);
// tell makes a call without an answer.
dcgmReturn_t tell(dcgmHandle_t handle, const char *name, struct blob *request);
// link_open connects to an engine: mode 0 embedded, 1 TCP host[:port], 2 a unix socket.
dcgmReturn_t link_open(int mode, const char *address, unsigned timeout_ms, dcgmHandle_t *handle);
void link_close(dcgmHandle_t handle);
// link_listen has the session's policy violations told until the connection ends.
dcgmReturn_t link_listen(dcgmHandle_t handle, void (*told)(dcgmHandle_t handle, struct blob *answer));
