// NVML: each call takes a connection of its own out of a pool, since calls come from many threads and some block.
#define _GNU_SOURCE
#include "sim.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define TEXT 0xFFFFFFFEu
#define POOL 64

// The driver version that this library belongs to: the daemon writes it in here when it puts the library in place.
__attribute__((used)) static const char sim_version[64] = "GPUSIM-DRIVER-VERSION:";

// Handles are addresses in here. Behind them is room for strings that structures point at; it is all that is ever written.
static char sim_handles[1 << 26];
#define STRINGS 65536

static struct {
  pthread_mutex_t mu; // guards the rest
  struct conn idle[POOL];
  int count;
  pid_t pid; // whose connections these are: a fork starts anew
  unsigned char token[16];
  int was; // there was a session: the daemon is gone, not absent
} pool = {.mu = PTHREAD_MUTEX_INITIALIZER};

static void fork_lock(void) { pthread_mutex_lock(&pool.mu); }
static void fork_unlock(void) { pthread_mutex_unlock(&pool.mu); }
__attribute__((constructor)) static void start(void) { pthread_atfork(fork_lock, fork_unlock, fork_unlock); }

// socket_path is GPUSIM_SOCKET, or nvml.sock in a folder above the library.
static int socket_path(char *out, size_t n) {
  const char *env = getenv("GPUSIM_SOCKET");
  char dir[PATH_MAX];
  Dl_info info;
  struct stat st;
  if (env && *env) return (size_t)snprintf(out, n, "%s", env) < n;
  if (!dladdr((void *)sim_call, &info) || !info.dli_fname || !realpath(info.dli_fname, dir)) return 0;
  for (char *slash; (slash = strrchr(dir, '/')) && slash != dir;) {
    *slash = 0;
    if ((size_t)snprintf(out, n, "%s/nvml.sock", dir) < n && stat(out, &st) == 0) return 1;
  }
  return 0;
}

// connect_new opens a connection and says who calls. The daemon learns the process from the socket.
static int connect_new(struct conn *c, const unsigned char *token) {
  uint64_t base = (uint64_t)(uintptr_t)sim_handles, size = sizeof sim_handles - STRINGS;
  struct sim_arg hello[] = {{token, 16, NULL, 0, 0}, {&base, 8, NULL, 0, 0}, {&size, 8, NULL, 0, 0}, {sim_version, sizeof sim_version, NULL, 0, 0}};
  char path[PATH_MAX];
  *c = (struct conn){.fd = -1};
  if (!socket_path(path, sizeof path)) return 0;
  c->fd = conn_unix(path);
  if (c->fd < 0) return 0;
  if (conn_request(c, "hello", hello, 4) && conn_exchange(c)) return 1;
  conn_drop(c);
  return 0;
}

// take gives a connection that is alive.
static int take(struct conn *c) {
  unsigned char token[16];
  char byte;
  pthread_mutex_lock(&pool.mu);
  if (pool.pid != getpid()) {
    while (pool.count) conn_drop(&pool.idle[--pool.count]);
    pool.pid = getpid();
    pool.was = 0;
    if (getrandom(pool.token, sizeof pool.token, 0) < 0) memcpy(pool.token, &pool.pid, sizeof pool.pid);
  }
  while (pool.count) {
    *c = pool.idle[--pool.count];
    ssize_t k = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (k < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      pthread_mutex_unlock(&pool.mu);
      return 1;
    }
    conn_drop(c); // the daemon went away
  }
  memcpy(token, pool.token, sizeof token);
  pthread_mutex_unlock(&pool.mu);
  return connect_new(c, token);
}

static void give(struct conn *c) {
  pthread_mutex_lock(&pool.mu);
  int keep = pool.count < POOL && pool.pid == getpid();
  pool.was = 1;
  if (keep) pool.idle[pool.count++] = *c;
  pthread_mutex_unlock(&pool.mu);
  if (!keep) conn_drop(c);
}

// gone is what a driver answers when there is no more of it: a GPU is lost, and there is nothing to initialise.
static nvmlReturn_t gone(const char *name, const struct sim_arg *args, int count) {
  pthread_mutex_lock(&pool.mu);
  int was = pool.was && pool.pid == getpid();
  pthread_mutex_unlock(&pool.mu);
  if (strncmp(name, "nvmlInit", 8) == 0) return NVML_ERROR_DRIVER_NOT_LOADED;
  if (!was) return NVML_ERROR_UNINITIALIZED;
  if (count > 0 && args[0].in && !args[0].out && args[0].len == sizeof(void *)) return NVML_ERROR_GPU_IS_LOST;
  return NVML_ERROR_UNKNOWN;
}

static void results(const struct conn *c, const struct sim_arg *args, int count) {
  for (size_t at = 4; at + 8 <= c->len;) {
    uint32_t head[2], offset;
    memcpy(head, c->buf + at, 8);
    at += 8;
    const char *data = c->buf + at;
    if (head[1] > c->len - at) break;
    at += head[1];
    if (head[0] == TEXT && head[1] > 4) {
      memcpy(&offset, data, 4);
      if (offset < STRINGS && head[1] - 4 <= STRINGS - offset) memcpy(sim_handles + sizeof sim_handles - STRINGS + offset, data + 4, head[1] - 4);
    } else if (head[0] < (uint32_t)count && args[head[0]].out && head[1] <= args[head[0]].cap) {
      memcpy(args[head[0]].out, data, head[1]);
    }
  }
}

nvmlReturn_t sim_call(const char *name, struct sim_arg *args, int count) {
  struct conn c;
  int32_t ret;
  if (!take(&c)) return gone(name, args, count);
  if (!conn_request(&c, name, args, count)) {
    conn_drop(&c);
    return NVML_ERROR_MEMORY;
  }
  if (!conn_exchange(&c)) {
    conn_drop(&c);
    return gone(name, args, count);
  }
  memcpy(&ret, c.buf, 4);
  results(&c, args, count);
  give(&c);
  return (nvmlReturn_t)ret;
}
