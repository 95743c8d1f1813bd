// MIG: mode, create, destroy, each refusal. One GPU, from mode off to mode off.
#include "check.h"

static nvmlGpuInstanceProfileInfo_t profile(unsigned enumerator) {
  nvmlGpuInstanceProfileInfo_t p;
  memset(&p, 0, sizeof p);
  EXPECT(NVML_SUCCESS, nvmlDeviceGetGpuInstanceProfileInfo(gpu, enumerator, &p));
  return p;
}

// off: what answers without MIG mode and what does not.
static void off(unsigned one) {
  unsigned n = 9, current = 9, pending = 9;
  nvmlGpuInstance_t gi, list[8];
  nvmlGpuInstanceProfileInfo_t p;
  nvmlGpuInstancePlacement_t places[8];
  EXPECT(NVML_SUCCESS, nvmlDeviceGetMigMode(gpu, &current, &pending));
  THAT(current == NVML_DEVICE_MIG_DISABLE && pending == NVML_DEVICE_MIG_DISABLE);
  EXPECT(NVML_SUCCESS, nvmlDeviceGetMaxMigDeviceCount(gpu, &n));
  THAT(n == 0);
  EXPECT(NVML_SUCCESS, nvmlDeviceGetGpuInstancePossiblePlacements(gpu, one, NULL, &n));
  THAT(n == 7);
  EXPECT(NVML_SUCCESS, nvmlDeviceGetGpuInstancePossiblePlacements(gpu, one, places, &n));
  THAT(places[6].start == 6 && places[6].size == 1);
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlDeviceGetGpuInstancePossiblePlacements(gpu, one, places, NULL));
  EXPECT(NVML_ERROR_NOT_SUPPORTED, nvmlDeviceGetGpuInstancePossiblePlacements(gpu, 12345, places, &n));
  EXPECT(NVML_ERROR_NOT_SUPPORTED, nvmlDeviceGetGpuInstanceProfileInfo(gpu, NVML_GPU_INSTANCE_PROFILE_8_SLICE, &p));
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlDeviceGetGpuInstanceProfileInfo(gpu, 200, &p));
  EXPECT(NVML_ERROR_NOT_SUPPORTED, nvmlDeviceGetGpuInstanceRemainingCapacity(gpu, one, &n));
  EXPECT(NVML_ERROR_NOT_SUPPORTED, nvmlDeviceCreateGpuInstance(gpu, one, &gi));
  EXPECT(NVML_ERROR_NOT_SUPPORTED, nvmlDeviceCreateGpuInstanceWithPlacement(gpu, one, &places[0], &gi));
  EXPECT(NVML_ERROR_NOT_SUPPORTED, nvmlDeviceGetGpuInstances(gpu, one, list, &n));
  EXPECT(NVML_ERROR_NOT_SUPPORTED, nvmlDeviceGetGpuInstanceById(gpu, 0, &gi));
}

static void mode(void) {
  nvmlReturn_t activation;
  unsigned current, pending;
  nvmlUtilization_t u;
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlDeviceSetMigMode(gpu, 5, &activation));
  act("{\"do\":\"process-start\",\"target\":{\"gpu\":%d,\"gi\":4294967295,\"ci\":4294967295},\"process\":{\"pid\":77}}", index_of_gpu);
  EXPECT(NVML_SUCCESS, nvmlDeviceSetMigMode(gpu, NVML_DEVICE_MIG_ENABLE, &activation));
  EXPECT(NVML_ERROR_IN_USE, activation);
  EXPECT(NVML_SUCCESS, nvmlDeviceGetMigMode(gpu, &current, &pending));
  THAT(current == 0 && pending == (ampere ? 1u : 0u));
  act("{\"do\":\"process-stop\",\"number\":77}");
  act("{\"do\":\"leak\",\"target\":{\"gpu\":%d,\"gi\":4294967295,\"ci\":4294967295}}", index_of_gpu);
  EXPECT(NVML_SUCCESS, nvmlDeviceSetMigMode(gpu, NVML_DEVICE_MIG_ENABLE, &activation));
  EXPECT(ampere ? NVML_ERROR_RESET_REQUIRED : NVML_ERROR_IN_USE, activation);
  act("{\"do\":\"drop-leaks\",\"target\":{\"gpu\":%d,\"gi\":4294967295,\"ci\":4294967295}}", index_of_gpu);
  EXPECT(NVML_SUCCESS, nvmlDeviceGetUtilizationRates(gpu, &u));
  EXPECT(NVML_SUCCESS, nvmlDeviceSetMigMode(gpu, NVML_DEVICE_MIG_ENABLE, &activation));
  EXPECT(NVML_SUCCESS, activation);
  EXPECT(NVML_SUCCESS, nvmlDeviceGetMigMode(gpu, &current, &pending));
  THAT(current == 1 && pending == 1);
  EXPECT(NVML_ERROR_NOT_SUPPORTED, nvmlDeviceGetUtilizationRates(gpu, &u));
}

static void compute(nvmlGpuInstance_t gi, unsigned id) {
  nvmlComputeInstance_t ci, other, list[8];
  nvmlComputeInstanceProfileInfo_t full, p;
  nvmlComputeInstanceProfileInfo_v2_t v2 = {.version = nvmlComputeInstanceProfileInfo_v2};
  nvmlComputeInstancePlacement_t places[8];
  nvmlComputeInstanceInfo_t info;
  nvmlDevice_t mig, parent;
  nvmlDeviceAttributes_t attributes;
  unsigned n = 0, is = 0, x = 99, enumerator = NVML_COMPUTE_INSTANCE_PROFILE_3_SLICE;
  char uuid[96], again[96];
  EXPECT(NVML_SUCCESS, nvmlGpuInstanceGetComputeInstanceProfileInfo(gi, enumerator, NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED, &full));
  EXPECT(NVML_SUCCESS, nvmlGpuInstanceGetComputeInstanceProfileInfoV(gi, enumerator, NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED, &v2));
  THAT(v2.id == full.id && !strncmp(v2.name, "MIG 3g.", 7));
  EXPECT(NVML_ERROR_NOT_SUPPORTED, nvmlGpuInstanceGetComputeInstanceProfileInfo(gi, NVML_COMPUTE_INSTANCE_PROFILE_7_SLICE, NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED, &p));
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlGpuInstanceGetComputeInstanceProfileInfo(gi, 200, NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED, &p));
  EXPECT(NVML_SUCCESS, nvmlGpuInstanceGetComputeInstancePossiblePlacements(gi, full.id, places, &n));
  THAT(n == 1 && places[0].start == 0 && places[0].size == 3);
  EXPECT(NVML_SUCCESS, nvmlGpuInstanceGetComputeInstanceRemainingCapacity(gi, full.id, &n));
  THAT(n == 1);
  EXPECT(NVML_SUCCESS, nvmlGpuInstanceCreateComputeInstance(gi, full.id, &ci));
  EXPECT(NVML_ERROR_INSUFFICIENT_RESOURCES, nvmlGpuInstanceCreateComputeInstance(gi, full.id, &other));
  EXPECT(NVML_ERROR_INSUFFICIENT_RESOURCES, nvmlGpuInstanceCreateComputeInstanceWithPlacement(gi, full.id, &places[0], &other));
  EXPECT(NVML_SUCCESS, nvmlGpuInstanceGetComputeInstances(gi, full.id, list, &n));
  THAT(n == 1 && list[0] == ci);
  EXPECT(NVML_SUCCESS, nvmlComputeInstanceGetInfo(ci, &info));
  THAT(info.gpuInstance == gi && info.profileId == full.id && info.placement.size == 3);
  EXPECT(NVML_SUCCESS, nvmlGpuInstanceGetComputeInstanceById(gi, info.id, &other));
  THAT(other == ci);
  EXPECT(NVML_ERROR_NOT_FOUND, nvmlGpuInstanceGetComputeInstanceById(gi, 5, &other));
  EXPECT(NVML_SUCCESS, nvmlDeviceGetUUID(info.device, uuid, sizeof uuid));
  THAT(!strncmp(uuid, "MIG-", 4));
  EXPECT(NVML_SUCCESS, nvmlDeviceGetMigDeviceHandleByIndex(gpu, 0, &mig));
  THAT(mig == info.device);
  EXPECT(NVML_ERROR_NOT_FOUND, nvmlDeviceGetMigDeviceHandleByIndex(gpu, 1, &mig));
  EXPECT(NVML_SUCCESS, nvmlDeviceIsMigDeviceHandle(info.device, &is));
  EXPECT(NVML_SUCCESS, nvmlDeviceGetDeviceHandleFromMigDeviceHandle(info.device, &parent));
  EXPECT(NVML_SUCCESS, nvmlDeviceGetGpuInstanceId(info.device, &x));
  THAT(is == 1 && parent == gpu && x == id);
  EXPECT(NVML_SUCCESS, nvmlDeviceGetComputeInstanceId(info.device, &x));
  THAT(x == info.id);
  EXPECT(NVML_ERROR_NOT_SUPPORTED, nvmlDeviceGetMinorNumber(info.device, &x));
  EXPECT(NVML_SUCCESS, nvmlDeviceGetAttributes(info.device, &attributes));
  THAT(attributes.gpuInstanceSliceCount == 3 && attributes.computeInstanceSliceCount == 3);

  EXPECT(NVML_ERROR_IN_USE, nvmlGpuInstanceDestroy(gi));
  act("{\"do\":\"process-start\",\"target\":{\"gpu\":%d,\"gi\":%u,\"ci\":4294967295},\"process\":{\"pid\":78}}", index_of_gpu, id);
  EXPECT(NVML_ERROR_IN_USE, nvmlComputeInstanceDestroy(ci));
  act("{\"do\":\"process-stop\",\"number\":78}");
  act("{\"do\":\"leak\",\"target\":{\"gpu\":%d,\"gi\":%u,\"ci\":%u}}", index_of_gpu, id, info.id);
  EXPECT(NVML_ERROR_IN_USE, nvmlComputeInstanceDestroy(ci));
  act("{\"do\":\"drop-leaks\",\"target\":{\"gpu\":%d}}", index_of_gpu);
  EXPECT(NVML_SUCCESS, nvmlComputeInstanceDestroy(ci));
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlComputeInstanceDestroy(ci));
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlComputeInstanceGetInfo(ci, &info));
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlDeviceGetUUID(mig, again, sizeof again));
  EXPECT(NVML_SUCCESS, nvmlGpuInstanceCreateComputeInstanceWithPlacement(gi, full.id, &places[0], &ci));
  EXPECT(NVML_SUCCESS, nvmlComputeInstanceGetInfo(ci, &info));
  EXPECT(NVML_SUCCESS, nvmlDeviceGetUUID(info.device, again, sizeof again));
  THAT(strcmp(uuid, again)); // a new one at every creation
  EXPECT(NVML_SUCCESS, nvmlComputeInstanceDestroy(ci));
}

void mig(void) {
  nvmlGpuInstanceProfileInfo_t one = profile(NVML_GPU_INSTANCE_PROFILE_1_SLICE), three = profile(NVML_GPU_INSTANCE_PROFILE_3_SLICE), seven = profile(NVML_GPU_INSTANCE_PROFILE_7_SLICE);
  nvmlGpuInstance_t gi, small, other, list[8];
  nvmlGpuInstanceInfo_t info;
  nvmlReturn_t activation;
  unsigned n = 0;
  THAT(one.id == 19 && three.id == 9 && seven.id == 0);
  off(one.id);
  mode();
  EXPECT(NVML_SUCCESS, nvmlDeviceGetMaxMigDeviceCount(gpu, &n));
  THAT(n == 7);
  EXPECT(NVML_SUCCESS, nvmlDeviceGetGpuInstanceRemainingCapacity(gpu, three.id, &n));
  THAT(n == 2);
  EXPECT(NVML_SUCCESS, nvmlDeviceCreateGpuInstanceWithPlacement(gpu, three.id, &(nvmlGpuInstancePlacement_t){4, 4}, &gi));
  EXPECT(NVML_SUCCESS, nvmlGpuInstanceGetInfo(gi, &info));
  THAT(info.device == gpu && info.profileId == three.id && info.placement.start == 4 && info.placement.size == 4);
  EXPECT(NVML_ERROR_INSUFFICIENT_RESOURCES, nvmlDeviceCreateGpuInstanceWithPlacement(gpu, three.id, &(nvmlGpuInstancePlacement_t){4, 4}, &other));
  EXPECT(NVML_ERROR_INSUFFICIENT_RESOURCES, nvmlDeviceCreateGpuInstanceWithPlacement(gpu, one.id, &(nvmlGpuInstancePlacement_t){6, 1}, &other));
  EXPECT(NVML_ERROR_INSUFFICIENT_RESOURCES, nvmlDeviceCreateGpuInstance(gpu, seven.id, &other));
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlDeviceCreateGpuInstanceWithPlacement(gpu, three.id, &(nvmlGpuInstancePlacement_t){3, 4}, &other));
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlDeviceCreateGpuInstanceWithPlacement(gpu, three.id, NULL, &other));
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlDeviceCreateGpuInstance(gpu, 12345, &other));
  EXPECT(NVML_SUCCESS, nvmlDeviceCreateGpuInstance(gpu, one.id, &small)); // the highest start that is free
  EXPECT(NVML_SUCCESS, nvmlGpuInstanceGetInfo(small, &info));
  THAT(info.placement.start == 3);
  EXPECT(NVML_SUCCESS, nvmlDeviceGetGpuInstanceById(gpu, info.id, &other));
  THAT(other == small);
  EXPECT(NVML_ERROR_NOT_FOUND, nvmlDeviceGetGpuInstanceById(gpu, 14, &other));
  n = 0; // not an input
  EXPECT(NVML_SUCCESS, nvmlDeviceGetGpuInstances(gpu, three.id, list, &n));
  THAT(n == 1 && list[0] == gi);
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlDeviceGetGpuInstances(gpu, three.id, NULL, &n));
  EXPECT(NVML_SUCCESS, nvmlGpuInstanceGetInfo(gi, &info));
  compute(gi, info.id);
  EXPECT(NVML_SUCCESS, nvmlDeviceSetMigMode(gpu, NVML_DEVICE_MIG_DISABLE, &activation));
  EXPECT(NVML_ERROR_IN_USE, activation);
  EXPECT(NVML_SUCCESS, nvmlGpuInstanceDestroy(small));
  EXPECT(NVML_SUCCESS, nvmlGpuInstanceDestroy(gi));
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlGpuInstanceDestroy(gi));
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlGpuInstanceGetInfo(gi, &info));
  EXPECT(NVML_SUCCESS, nvmlDeviceSetMigMode(gpu, NVML_DEVICE_MIG_DISABLE, &activation));
  EXPECT(NVML_SUCCESS, activation);
}

// permission: what a user without privileges may not do. The parent switched MIG mode on and made a 3g instance.
void permission(void) {
  nvmlGpuInstance_t gi;
  nvmlDevice_t mig;
  nvmlReturn_t activation;
  unsigned n = 0;
  nvmlMemory_t memory;
  EXPECT(NVML_ERROR_NO_PERMISSION, nvmlDeviceSetMigMode(gpu, NVML_DEVICE_MIG_DISABLE, &activation));
  EXPECT(NVML_ERROR_NO_PERMISSION, nvmlDeviceCreateGpuInstance(gpu, 19, &gi));
  EXPECT(NVML_ERROR_NO_PERMISSION, nvmlDeviceGetGpuInstanceRemainingCapacity(gpu, 19, &n));
  EXPECT(NVML_ERROR_NO_PERMISSION, nvmlDeviceGetGpuInstanceById(gpu, 1, &gi));
  EXPECT(NVML_ERROR_NO_PERMISSION, nvmlDeviceSetPersistenceMode(gpu, NVML_FEATURE_ENABLED));
  EXPECT(NVML_ERROR_NO_PERMISSION, nvmlDeviceGetMemoryInfo(gpu, &memory));
  EXPECT(NVML_SUCCESS, nvmlDeviceGetMigDeviceHandleByIndex(gpu, 0, &mig));
  EXPECT(NVML_SUCCESS, nvmlDeviceGetMemoryInfo(mig, &memory));
}
