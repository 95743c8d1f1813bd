// What the conformance program is made of: EXPECT compares a call's return code with what nvml.h documents, THAT a value. The
// program asks its parent for what happens to the hardware: act prints an action and waits until it is done.
#pragma once
#include <nvml.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern int calls, errors, failures;
extern nvmlDevice_t gpu; // a GPU with MIG that nobody else uses
extern int index_of_gpu, ampere;

#define EXPECT(want, call) expect(__FILE__, __LINE__, #call, want, call)
#define THAT(condition) that(__FILE__, __LINE__, #condition, condition)

static inline nvmlReturn_t expect(const char *file, int line, const char *text, nvmlReturn_t want, nvmlReturn_t got) {
  calls++;
  errors += want != NVML_SUCCESS;
  if (got != want) {
    failures++;
    printf("%s:%d: %s gives %d (%s), want %d (%s)\n", file, line, text, (int)got, nvmlErrorString(got), (int)want, nvmlErrorString(want));
  }
  return got;
}

static inline void that(const char *file, int line, const char *text, int ok) {
  if (ok) return;
  failures++;
  printf("%s:%d: not so: %s\n", file, line, text);
}

static inline void act(const char *format, ...) {
  char line[64];
  va_list args;
  va_start(args, format);
  printf("act ");
  vprintf(format, args);
  printf("\n");
  va_end(args);
  fflush(stdout);
  if (!fgets(line, sizeof line, stdin) || strcmp(line, "done\n")) {
    printf("the action failed: %s\n", line);
    exit(2);
  }
}

void discovery(void);
void versions(void);
void lists(void);
void mig(void);
void permission(void);
void events(void);
void lost(void);
