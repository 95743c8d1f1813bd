// The two halves of the library: sim.c forwards a call to the daemon, calls.c has NVML's functions, each a list of arguments.
#pragma once
#define NVML_NO_UNVERSIONED_FUNC_DEFS
#include "conn.h"
#include <nvml.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

nvmlReturn_t sim_call(const char *name, struct sim_arg *args, int count);
const char *sim_error(nvmlReturn_t code);

// versioned gives the size that a structure's first word claims if it is one of the words, otherwise that of the word.
static inline uint32_t sim_versioned(const void *p, const unsigned *words, size_t count) {
  unsigned word;
  if (!p) return 0;
  memcpy(&word, p, sizeof word);
  for (size_t i = 0; i < count; i++)
    if (words[i] == word) return word & 0xFFFFFF;
  return sizeof word;
}

#define SIM_SIZE(n, p) ((uint32_t)((size_t)(n) * sizeof *(p)))
// Values, strings, structures to read, structures to read and write.
#define IN(x) {&(x), sizeof(x), NULL, 0, 0},
#define STR(s) {s, (s) ? (uint32_t)strlen(s) : 0, NULL, 0, 1},
#define INP(p) {p, sizeof *(p), NULL, 0, 1},
#define REF(p) {p, sizeof *(p), p, sizeof *(p), 1},
// A buffer of a known size; arrays that may be NULL when the count is 0, that the caller promised to be large enough, that are read too.
#define BUF(p, n) {NULL, 0, p, SIM_SIZE(n, p), 1},
#define ARR(p, n) {NULL, 0, p, SIM_SIZE((n) && (p) ? *(n) : 0, p), (n) && *(n) > 0},
#define FILL(p) {NULL, 0, p, 1 << 20, 0},
#define MUST(p) {NULL, 0, p, 1 << 20, 1},
#define BOTH(p, n) {p, SIM_SIZE((int)(n) > 0 ? (n) : 0, p), p, SIM_SIZE((int)(n) > 0 ? (n) : 0, p), 1},
#define BYTES(p, n) {p, (p) ? (uint32_t)(n) : 0, p, (p) ? (uint32_t)(n) : 0, 1},
// A structure whose first word says its version.
#define VER(p, ...) {p, sim_versioned(p, (unsigned[]){__VA_ARGS__}, sizeof((unsigned[]){__VA_ARGS__}) / sizeof(unsigned)), p, sim_versioned(p, (unsigned[]){__VA_ARGS__}, sizeof((unsigned[]){__VA_ARGS__}) / sizeof(unsigned)), 1},

#define CALL(name, params, ...)                                  \
  nvmlReturn_t name params {                                     \
    struct sim_arg a[] = {__VA_ARGS__ {0}};                      \
    return sim_call(#name, a, (int)(sizeof a / sizeof *a) - 1);  \
  }
