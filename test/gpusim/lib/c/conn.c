// One request and one answer on a connection. Requests: u32 size, u16 length of the name, u16 arguments, name, then for each u32
// sent, u32 writable, bytes. Answers: u32 size, i32 return code, then for each result u32 argument, u32 size, bytes; with TEXT for
// the argument a u32 offset among the strings and the bytes. All sizes are without the first word.
#define _GNU_SOURCE
#include "conn.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NONE 0xFFFFFFFFu

void conn_drop(struct conn *c) {
  close(c->fd);
  free(c->buf);
}

static int reserve(struct conn *c, size_t n) {
  if (n <= c->cap) return 1;
  size_t cap = n < 4096 ? 4096 : n * 2;
  char *buf = realloc(c->buf, cap);
  if (!buf) return 0;
  c->buf = buf;
  c->cap = cap;
  return 1;
}

static int append(struct conn *c, const void *p, size_t n) {
  if (!reserve(c, c->len + n)) return 0;
  if (n) memcpy(c->buf + c->len, p, n);
  c->len += n;
  return 1;
}

static int append32(struct conn *c, uint32_t v) { return append(c, &v, sizeof v); }

static int send_all(int fd, const char *p, size_t n) {
  while (n) {
    ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
    if (k < 0 && errno == EINTR) continue;
    if (k <= 0) return 0;
    p += k;
    n -= (size_t)k;
  }
  return 1;
}

static int recv_all(int fd, char *p, size_t n) {
  while (n) {
    ssize_t k = recv(fd, p, n, 0);
    if (k < 0 && errno == EINTR) continue;
    if (k <= 0) return 0;
    p += k;
    n -= (size_t)k;
  }
  return 1;
}

// exchange sends what is in the buffer and reads the answer into it.
int conn_exchange(struct conn *c) {
  uint32_t size = (uint32_t)c->len - 4;
  memcpy(c->buf, &size, sizeof size);
  if (!send_all(c->fd, c->buf, c->len) || !recv_all(c->fd, (char *)&size, sizeof size)) return 0;
  if (size < 4 || size > 1u << 28 || !reserve(c, size)) return 0;
  c->len = size;
  return recv_all(c->fd, c->buf, size);
}

int conn_request(struct conn *c, const char *name, const struct sim_arg *args, int count) {
  uint16_t head[2] = {(uint16_t)strlen(name), (uint16_t)count};
  c->len = 0;
  int ok = append32(c, 0) && append(c, head, sizeof head) && append(c, name, head[0]);
  for (int i = 0; ok && i < count; i++) {
    const struct sim_arg *a = &args[i];
    if (!a->in && !a->out) {
      ok = append32(c, NONE) && append32(c, a->required ? NONE : 0);
      continue;
    }
    ok = append32(c, a->in ? a->len : 0) && append32(c, a->out ? a->cap : 0) && append(c, a->in, a->in ? a->len : 0);
  }
  return ok;
}

int conn_unix(const char *path) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof to.sun_path) return -1;
  strcpy(to.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), done;
  if (fd < 0) return -1;
  do done = connect(fd, (struct sockaddr *)&to, sizeof to);
  while (done < 0 && errno == EINTR);
  if (done == 0) return fd;
  close(fd);
  return -1;
}
