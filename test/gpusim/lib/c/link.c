// Connections to engines: one for each handle, and one more of the same session for what the engine tells by itself.
#define _GNU_SOURCE
#include "dcgm.h"
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define HANDLES 64
#define ANSWER_MAX (1u << 27)

struct line {
  pthread_mutex_t mu; // one call at a time
  struct conn c;
  int used, dead, mode;
  char address[PATH_MAX];
  uint32_t session;
  void (*told)(dcgmHandle_t, struct blob *);
  struct conn ear;
  pthread_t listener;
};

static struct line lines[HANDLES];
static pthread_mutex_t lines_mu = PTHREAD_MUTEX_INITIALIZER; // guards used

static void grow(struct blob *b, const void *p, size_t n) {
  if (b->bad) return;
  if (b->len + n > b->cap) {
    size_t cap = (b->len + n) * 2 + 64;
    char *data = realloc(b->data, cap);
    if (!data) {
      b->bad = 1;
      return;
    }
    b->data = data;
    b->cap = cap;
  }
  if (n) memcpy(b->data + b->len, p, n);
  b->len += n;
}

void put32(struct blob *b, uint32_t v) { grow(b, &v, sizeof v); }
void put64(struct blob *b, uint64_t v) { grow(b, &v, sizeof v); }
void put_double(struct blob *b, double v) { grow(b, &v, sizeof v); }
void put_text(struct blob *b, const char *s) {
  uint32_t n = s ? (uint32_t)strlen(s) : 0;
  put32(b, n);
  grow(b, s, n);
}

static int fetch(struct blob *b, void *out, size_t n) {
  memset(out, 0, n);
  if (b->bad || n > b->len - b->at) {
    b->bad = 1;
    return 0;
  }
  memcpy(out, b->data + b->at, n);
  b->at += n;
  return 1;
}

uint32_t get32(struct blob *b) {
  uint32_t v;
  fetch(b, &v, sizeof v);
  return v;
}

uint64_t get64(struct blob *b) {
  uint64_t v;
  fetch(b, &v, sizeof v);
  return v;
}

void get_text(struct blob *b, char *out, size_t n) {
  uint32_t len = get32(b);
  if (b->bad || len > b->len - b->at) {
    b->bad = 1;
    len = 0;
  }
  size_t keep = len < n ? len : n - 1;
  memcpy(out, b->data + b->at, keep);
  out[keep] = 0;
  b->at += len;
}

// socket_path is dcgm.sock beside GPUSIM_SOCKET, or in a folder above the library.
static int socket_path(char *out, size_t n) {
  const char *env = getenv("GPUSIM_SOCKET");
  char dir[PATH_MAX];
  Dl_info info;
  struct stat st;
  if (env && *env) {
    const char *slash = strrchr(env, '/');
    return (size_t)snprintf(out, n, "%.*sdcgm.sock", slash ? (int)(slash - env + 1) : 0, env) < n;
  }
  if (!dladdr((void *)link_open, &info) || !info.dli_fname || !realpath(info.dli_fname, dir)) return 0;
  for (char *slash; (slash = strrchr(dir, '/')) && slash != dir;) {
    *slash = 0;
    if ((size_t)snprintf(out, n, "%s/dcgm.sock", dir) < n && stat(out, &st) == 0) return 1;
  }
  return 0;
}

static int dial_tcp(const char *address) {
  char host[PATH_MAX], *port = "5555", *colon;
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
  snprintf(host, sizeof host, "%s", address);
  if ((colon = strrchr(host, ':')) && !strchr(colon, ']') && strchr(host, ':') == colon) {
    *colon = 0;
    port = colon + 1;
  }
  if (getaddrinfo(host, port, &hints, &list) != 0) return -1;
  int fd = -1;
  for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
    fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
      close(fd);
      fd = -1;
    }
  }
  freeaddrinfo(list);
  return fd;
}

// obey does to this process what the hand at the machine wants to see done.
static void obey(const char *p, uint32_t n) {
  uint32_t kind;
  uint64_t mib;
  if (n != 12) return;
  memcpy(&kind, p, 4);
  memcpy(&mib, p + 4, 8);
  if (kind == 1) abort();
  if (kind == 2) raise(11);
  if (kind == 3) {
    volatile char *leak = malloc(mib << 20);
    for (size_t i = 0; leak && i < mib << 20; i += 4096) leak[i] = 1;
  }
}

// exchange sends a request and takes the answer apart: argument 0 is the answer, 1 what to obey.
static dcgmReturn_t exchange(struct conn *c, const char *name, const struct blob *request, struct blob *answer) {
  char none;
  struct sim_arg args[] = {{request->data ? request->data : &none, (uint32_t)request->len, &none, ANSWER_MAX >> 3, 0}, {NULL, 0, &none, 12, 0}};
  int32_t ret;
  if (!conn_request(c, name, args, 2) || !conn_exchange(c)) return DCGM_ST_CONNECTION_NOT_VALID;
  memcpy(&ret, c->buf, 4);
  for (size_t at = 4; at + 8 <= c->len;) {
    uint32_t head[2];
    memcpy(head, c->buf + at, 8);
    at += 8;
    if (head[1] > c->len - at) break;
    if (head[0] == 0) grow(answer, c->buf + at, head[1]);
    if (head[0] == 1) obey(c->buf + at, head[1]);
    at += head[1];
  }
  return (dcgmReturn_t)ret;
}

// dial connects and joins a session, or opens one when it is 0.
static dcgmReturn_t dial(const struct line *l, struct conn *c, uint32_t *session) {
  char path[PATH_MAX];
  struct blob request = {0}, answer = {0};
  *c = (struct conn){.fd = -1};
  if (l->mode == 0)
    c->fd = socket_path(path, sizeof path) ? conn_unix(path) : -1;
  else
    c->fd = l->mode == 2 ? conn_unix(l->address) : dial_tcp(l->address);
  if (c->fd < 0) return l->mode == 0 ? DCGM_ST_INIT_ERROR : DCGM_ST_CONNECTION_NOT_VALID;
  put32(&request, *session);
  grow(&request, DCGM_VERSION, sizeof DCGM_VERSION - 1);
  dcgmReturn_t ret = request.bad ? DCGM_ST_MEMORY : exchange(c, "dcgm", &request, &answer);
  if (ret == DCGM_ST_OK) *session = get32(&answer);
  free(request.data);
  free(answer.data);
  if (ret != DCGM_ST_OK) conn_drop(c);
  return ret;
}

dcgmReturn_t link_open(int mode, const char *address, unsigned timeout_ms, dcgmHandle_t *handle) {
  (void)timeout_ms;
  pthread_mutex_lock(&lines_mu);
  int i = 1;
  while (i < HANDLES && lines[i].used) i++;
  if (i < HANDLES) lines[i] = (struct line){.mu = PTHREAD_MUTEX_INITIALIZER, .used = 1, .mode = mode};
  pthread_mutex_unlock(&lines_mu);
  if (i == HANDLES) return DCGM_ST_MAX_LIMIT;
  if (address) snprintf(lines[i].address, sizeof lines[i].address, "%s", address);
  dcgmReturn_t ret = dial(&lines[i], &lines[i].c, &lines[i].session);
  if (ret != DCGM_ST_OK) {
    lines[i].used = 0;
    return ret;
  }
  *handle = (dcgmHandle_t)i;
  return DCGM_ST_OK;
}

static struct line *line_of(dcgmHandle_t handle) {
  if (handle == 0 || handle >= HANDLES || !lines[handle].used) return NULL;
  return &lines[handle];
}

void link_close(dcgmHandle_t handle) {
  struct line *l = line_of(handle);
  if (!l) return;
  pthread_mutex_lock(&l->mu);
  if (l->told) {
    shutdown(l->ear.fd, SHUT_RDWR);
    if (!pthread_equal(l->listener, pthread_self())) pthread_join(l->listener, NULL);
    conn_drop(&l->ear);
    l->told = NULL;
  }
  conn_drop(&l->c);
  l->dead = 1;
  pthread_mutex_unlock(&l->mu);
  l->used = 0;
}

dcgmReturn_t ask(dcgmHandle_t handle, const char *name, struct blob *request, struct blob *answer) {
  struct line *l = line_of(handle);
  dcgmReturn_t ret = DCGM_ST_CONNECTION_NOT_VALID;
  *answer = (struct blob){0};
  if (l && request->bad) ret = DCGM_ST_MEMORY;
  if (l && !request->bad) {
    pthread_mutex_lock(&l->mu);
    if (!l->dead) ret = exchange(&l->c, name, request, answer);
    if (ret == DCGM_ST_CONNECTION_NOT_VALID) l->dead = 1;
    pthread_mutex_unlock(&l->mu);
  }
  free(request->data);
  if (ret == DCGM_ST_OK && answer->bad) ret = DCGM_ST_MEMORY;
  return ret;
}

dcgmReturn_t tell(dcgmHandle_t handle, const char *name, struct blob *request) {
  struct blob answer;
  dcgmReturn_t ret = ask(handle, name, request, &answer);
  free(answer.data);
  return ret;
}

static void *listen_on(void *arg) {
  struct line *l = arg;
  struct blob request = {0};
  for (;;) {
    struct blob answer = {0};
    dcgmReturn_t ret = exchange(&l->ear, "policy", &request, &answer);
    if (ret == DCGM_ST_OK) l->told((dcgmHandle_t)(l - lines), &answer);
    free(answer.data);
    if (ret != DCGM_ST_OK) return NULL;
  }
}

dcgmReturn_t link_listen(dcgmHandle_t handle, void (*told)(dcgmHandle_t, struct blob *)) {
  struct line *l = line_of(handle);
  if (!l) return DCGM_ST_CONNECTION_NOT_VALID;
  dcgmReturn_t ret = DCGM_ST_OK;
  pthread_mutex_lock(&l->mu);
  if (!l->told) {
    uint32_t session = l->session;
    ret = dial(l, &l->ear, &session);
    if (ret == DCGM_ST_OK) {
      l->told = told;
      if (pthread_create(&l->listener, NULL, listen_on, l) != 0) {
        l->told = NULL;
        conn_drop(&l->ear);
        ret = DCGM_ST_GENERIC_ERROR;
      }
    }
  }
  pthread_mutex_unlock(&l->mu);
  return ret;
}
