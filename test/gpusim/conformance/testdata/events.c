// Events, and a GPU that is lost.
#include "check.h"
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

#define MIG_CHANGE 0x100ULL

void events(void) {
  nvmlEventSet_t set, empty;
  nvmlEventData_t e;
  nvmlReturn_t activation;
  unsigned long long types = 0;
  EXPECT(NVML_SUCCESS, nvmlDeviceGetSupportedEventTypes(gpu, &types));
  THAT(types & nvmlEventTypeXidCriticalError && types & MIG_CHANGE && types & nvmlEventTypeDoubleBitEccError);
  EXPECT(NVML_SUCCESS, nvmlEventSetCreate(&set));
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlEventSetCreate(NULL));
  EXPECT(NVML_SUCCESS, nvmlEventSetCreate(&empty));
  EXPECT(NVML_ERROR_NOT_SUPPORTED, nvmlDeviceRegisterEvents(gpu, 1ULL << 60, set));
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlDeviceRegisterEvents(gpu, types, (nvmlEventSet_t)&types));
  EXPECT(NVML_SUCCESS, nvmlDeviceRegisterEvents(gpu, nvmlEventTypeXidCriticalError | MIG_CHANGE, set));
  double start = now();
  EXPECT(NVML_ERROR_TIMEOUT, nvmlEventSetWait(set, &e, 100));
  THAT(now() - start > 0.09 && now() - start < 5);
  EXPECT(NVML_ERROR_TIMEOUT, nvmlEventSetWait(set, &e, 0));
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlEventSetWait(set, NULL, 0));

  act("{\"do\":\"xid\",\"number\":48,\"target\":{\"gpu\":%d,\"gi\":4294967295,\"ci\":4294967295}}", index_of_gpu);
  act("{\"do\":\"xid\",\"number\":94,\"target\":{\"gpu\":%d,\"gi\":1,\"ci\":0}}", index_of_gpu);
  EXPECT(NVML_SUCCESS, nvmlEventSetWait(set, &e, 1000));
  THAT(e.device == gpu && e.eventType == nvmlEventTypeXidCriticalError && e.eventData == 48);
  THAT(e.gpuInstanceId == 0xFFFFFFFF && e.computeInstanceId == 0xFFFFFFFF);
  EXPECT(NVML_SUCCESS, nvmlEventSetWait(set, &e, 1000));
  THAT(e.eventData == 94 && e.gpuInstanceId == 1 && e.computeInstanceId == 0);
  EXPECT(NVML_ERROR_TIMEOUT, nvmlEventSetWait(set, &e, 10));
  EXPECT(NVML_ERROR_TIMEOUT, nvmlEventSetWait(empty, &e, 10)); // events reach only sets that registered the GPU
  act("{\"do\":\"ecc\",\"target\":{\"gpu\":%d},\"ecc\":{\"uncorrected\":true,\"location\":2}}", index_of_gpu);
  EXPECT(NVML_ERROR_TIMEOUT, nvmlEventSetWait(set, &e, 10)); // and the type

  // Our own event set is a client that keeps the mode.
  EXPECT(NVML_SUCCESS, nvmlDeviceSetMigMode(gpu, NVML_DEVICE_MIG_ENABLE, &activation));
  EXPECT(ampere ? NVML_ERROR_RESET_REQUIRED : NVML_ERROR_IN_USE, activation);
  EXPECT(NVML_SUCCESS, nvmlEventSetFree(set));
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlEventSetFree(set));
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlEventSetWait(set, &e, 0));
  EXPECT(NVML_SUCCESS, nvmlDeviceSetMigMode(gpu, NVML_DEVICE_MIG_ENABLE, &activation));
  EXPECT(NVML_SUCCESS, activation);
  EXPECT(NVML_SUCCESS, nvmlEventSetCreate(&set));
  EXPECT(NVML_SUCCESS, nvmlDeviceRegisterEvents(gpu, MIG_CHANGE, set));
  act("{\"do\":\"mig-create\",\"text\":\"3g.40gb\",\"target\":{\"gpu\":%d}}", index_of_gpu);
  EXPECT(NVML_SUCCESS, nvmlEventSetWait(set, &e, 1000));
  THAT(e.device == gpu && e.eventType == MIG_CHANGE);
  EXPECT(NVML_SUCCESS, nvmlEventSetFree(set));
  EXPECT(NVML_SUCCESS, nvmlEventSetFree(empty));
}

void lost(void) {
  nvmlEventSet_t set;
  nvmlEventData_t e;
  nvmlDevice_t d;
  unsigned n = 0, power, other = index_of_gpu ? 0 : 1;
  char text[96];
  EXPECT(NVML_SUCCESS, nvmlEventSetCreate(&set));
  EXPECT(NVML_SUCCESS, nvmlDeviceRegisterEvents(gpu, nvmlEventTypeXidCriticalError, set));
  act("{\"do\":\"lost\",\"on\":true,\"target\":{\"gpu\":%d}}", index_of_gpu);
  EXPECT(NVML_SUCCESS, nvmlEventSetWait(set, &e, 1000));
  THAT(e.eventData == 79);
  EXPECT(NVML_ERROR_GPU_IS_LOST, nvmlEventSetWait(set, &e, 1000));
  EXPECT(NVML_ERROR_GPU_IS_LOST, nvmlDeviceGetUUID(gpu, text, sizeof text));
  EXPECT(NVML_ERROR_GPU_IS_LOST, nvmlDeviceGetPowerUsage(gpu, &power));
  unsigned long long errors_of_memory = 7;
  EXPECT(NVML_ERROR_GPU_IS_LOST, nvmlDeviceGetTotalEccErrors(gpu, NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_VOLATILE_ECC, &errors_of_memory));
  THAT(errors_of_memory == 7); // a call that fails leaves its results alone
  EXPECT(NVML_ERROR_GPU_IS_LOST, nvmlDeviceGetHandleByIndex((unsigned)index_of_gpu, &d));
  EXPECT(NVML_SUCCESS, nvmlDeviceGetCount(&n));
  THAT(n > 1);
  EXPECT(NVML_SUCCESS, nvmlDeviceGetHandleByIndex(other, &d)); // its neighbour is well
  EXPECT(NVML_SUCCESS, nvmlDeviceGetPowerUsage(d, &power));
  act("{\"do\":\"lost\",\"target\":{\"gpu\":%d}}", index_of_gpu);
  EXPECT(NVML_SUCCESS, nvmlDeviceGetPowerUsage(gpu, &power));
  EXPECT(NVML_ERROR_TIMEOUT, nvmlEventSetWait(set, &e, 10));
  EXPECT(NVML_SUCCESS, nvmlEventSetFree(set));
}
