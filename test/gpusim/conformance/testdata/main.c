// A walk through NVML that holds the library to what nvml.h documents. It exits with 1 on any mismatch.
#include "check.h"
#include <sys/wait.h>
#include <unistd.h>

int calls, errors, failures;
nvmlDevice_t gpu;
int index_of_gpu, ampere;

static void before_init(void) {
  unsigned n;
  char text[96];
  EXPECT(NVML_ERROR_UNINITIALIZED, nvmlDeviceGetCount(&n));
  EXPECT(NVML_ERROR_UNINITIALIZED, nvmlDeviceGetCount(NULL));
  EXPECT(NVML_ERROR_UNINITIALIZED, nvmlSystemGetDriverVersion(text, sizeof text));
  EXPECT(NVML_ERROR_UNINITIALIZED, nvmlDeviceGetPowerUsage((nvmlDevice_t)text, &n));
  EXPECT(NVML_ERROR_UNINITIALIZED, nvmlDeviceGetVgpuMetadata((nvmlDevice_t)text, NULL, &n));
  EXPECT(NVML_ERROR_UNINITIALIZED, nvmlShutdown());
}

static void after_shutdown(void) {
  unsigned n;
  nvmlDevice_t old = gpu;
  EXPECT(NVML_SUCCESS, nvmlInit());
  EXPECT(NVML_SUCCESS, nvmlShutdown()); // the second session ends, the first goes on
  EXPECT(NVML_SUCCESS, nvmlDeviceGetIndex(old, &n));
  EXPECT(NVML_SUCCESS, nvmlShutdown());
  EXPECT(NVML_ERROR_UNINITIALIZED, nvmlDeviceGetIndex(old, &n));
  EXPECT(NVML_ERROR_UNINITIALIZED, nvmlShutdown());
}

// A child of fork has no session of its own, and leaves its parent's alone.
static void fork_child(void) {
  int status = 0;
  unsigned n;
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    int bad = nvmlDeviceGetIndex(gpu, &n) != NVML_ERROR_UNINITIALIZED;
    bad |= (nvmlInit() != NVML_SUCCESS) << 1;
    bad |= (nvmlDeviceGetCount(&n) != NVML_SUCCESS) << 2;
    bad |= (nvmlShutdown() != NVML_SUCCESS) << 3;
    _exit(bad);
  }
  THAT(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
  EXPECT(NVML_SUCCESS, nvmlDeviceGetIndex(gpu, &n));
}

int main(int argc, char **argv) {
  const char *part = argc > 1 ? argv[1] : "all";
  index_of_gpu = argc > 2 ? atoi(argv[2]) : 0;
  before_init();
  EXPECT(NVML_SUCCESS, nvmlInit());
  EXPECT(NVML_SUCCESS, nvmlDeviceGetHandleByIndex((unsigned)index_of_gpu, &gpu));
  nvmlDeviceArchitecture_t arch = 0;
  EXPECT(NVML_SUCCESS, nvmlDeviceGetArchitecture(gpu, &arch));
  ampere = arch == NVML_DEVICE_ARCH_AMPERE;
  if (!strcmp(part, "user")) {
    permission();
  } else {
    fork_child();
    discovery();
    versions();
    lists();
    mig();
    events();
    lost();
  }
  after_shutdown();
  printf("calls %d errors %d failures %d\n", calls, errors, failures);
  return failures != 0;
}
