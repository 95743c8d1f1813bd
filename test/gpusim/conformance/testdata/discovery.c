// Identity, lookups, buffers, version words, lists.
#include "check.h"
#include <stdint.h>

void discovery(void) {
  unsigned n = 0, i;
  int cuda = 0, major = 0, minor = 0;
  char text[96], tiny[4];
  nvmlDevice_t d, again;
  nvmlPciInfo_t pci;
  EXPECT(NVML_SUCCESS, nvmlSystemGetDriverVersion(text, sizeof text));
  EXPECT(NVML_ERROR_INSUFFICIENT_SIZE, nvmlSystemGetDriverVersion(tiny, sizeof tiny));
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlSystemGetDriverVersion(NULL, 80));
  EXPECT(NVML_SUCCESS, nvmlSystemGetNVMLVersion(text, sizeof text));
  EXPECT(NVML_SUCCESS, nvmlSystemGetCudaDriverVersion(&cuda));
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlSystemGetCudaDriverVersion(NULL));
  THAT(cuda >= 11000);
  EXPECT(NVML_SUCCESS, nvmlDeviceGetCount(&n));
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlDeviceGetCount(NULL));
  THAT(n > 0);
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlDeviceGetHandleByIndex(n, &d));
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlDeviceGetHandleByIndex(0, NULL));
  for (i = 0; i < n; i++) {
    unsigned index = 99;
    EXPECT(NVML_SUCCESS, nvmlDeviceGetHandleByIndex(i, &d));
    THAT((uintptr_t)d > 4096);
    EXPECT(NVML_SUCCESS, nvmlDeviceGetIndex(d, &index));
    THAT(index == i);
    EXPECT(NVML_SUCCESS, nvmlDeviceGetUUID(d, text, sizeof text));
    THAT(strlen(text) == 40 && !strncmp(text, "GPU-", 4));
    EXPECT(NVML_SUCCESS, nvmlDeviceGetHandleByUUID(text, &again));
    THAT(again == d);
    EXPECT(NVML_SUCCESS, nvmlDeviceGetPciInfo(d, &pci));
    THAT(strlen(pci.busId) == 16 && strlen(pci.busIdLegacy) == 12 && (pci.pciDeviceId & 0xFFFF) == 0x10DE);
    EXPECT(NVML_SUCCESS, nvmlDeviceGetHandleByPciBusId(pci.busId, &again));
    THAT(again == d);
    EXPECT(NVML_SUCCESS, nvmlDeviceGetSerial(d, text, sizeof text));
    EXPECT(NVML_SUCCESS, nvmlDeviceGetHandleBySerial(text, &again));
    THAT(again == d);
    EXPECT(NVML_SUCCESS, nvmlDeviceGetName(d, text, sizeof text));
    EXPECT(NVML_ERROR_INSUFFICIENT_SIZE, nvmlDeviceGetName(d, tiny, sizeof tiny));
    EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlDeviceGetName(d, NULL, 96));
    EXPECT(NVML_SUCCESS, nvmlDeviceGetCudaComputeCapability(d, &major, &minor));
    THAT(major >= 7);
  }
  EXPECT(NVML_ERROR_NOT_FOUND, nvmlDeviceGetHandleByUUID("GPU-00000000-0000-0000-0000-000000000000", &d));
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlDeviceGetHandleByUUID("nonsense", &d));
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlDeviceGetHandleByUUID(NULL, &d));
  EXPECT(NVML_ERROR_NOT_FOUND, nvmlDeviceGetHandleByPciBusId("0000:ff:1f.0", &d));
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlDeviceGetName((nvmlDevice_t)0x10, text, sizeof text));
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlDeviceGetName(NULL, text, sizeof text));
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlDeviceGetName((nvmlDevice_t)text, text, sizeof text));
  EXPECT(NVML_ERROR_NOT_SUPPORTED, nvmlDeviceGetVgpuMetadata(gpu, NULL, &n));
  EXPECT(NVML_ERROR_NOT_SUPPORTED, nvmlDeviceGetAttributes(gpu, &(nvmlDeviceAttributes_t){0}));
}

void versions(void) {
  nvmlMemory_t v1;
  nvmlMemory_v2_t v2 = {.version = nvmlMemory_v2};
  EXPECT(NVML_SUCCESS, nvmlDeviceGetMemoryInfo(gpu, &v1));
  EXPECT(NVML_SUCCESS, nvmlDeviceGetMemoryInfo_v2(gpu, &v2));
  THAT(v1.total == v2.total && v1.used == v2.used + v2.reserved && v1.free == v2.free && v2.version == nvmlMemory_v2);
  v2.version = 0;
  EXPECT(NVML_ERROR_ARGUMENT_VERSION_MISMATCH, nvmlDeviceGetMemoryInfo_v2(gpu, &v2));
  v2.version = nvmlMemory_v2 + 8;
  EXPECT(NVML_ERROR_ARGUMENT_VERSION_MISMATCH, nvmlDeviceGetMemoryInfo_v2(gpu, &v2));
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlDeviceGetMemoryInfo_v2(gpu, NULL));

  nvmlGpuInstanceProfileInfo_v2_t p2 = {.version = nvmlGpuInstanceProfileInfo_v2};
  nvmlGpuInstanceProfileInfo_v3_t p3 = {.version = nvmlGpuInstanceProfileInfo_v3};
  nvmlGpuInstanceProfileInfo_t p1;
  EXPECT(NVML_SUCCESS, nvmlDeviceGetGpuInstanceProfileInfo(gpu, NVML_GPU_INSTANCE_PROFILE_1_SLICE, &p1));
  EXPECT(NVML_SUCCESS, nvmlDeviceGetGpuInstanceProfileInfoV(gpu, NVML_GPU_INSTANCE_PROFILE_1_SLICE, &p2));
  EXPECT(NVML_SUCCESS, nvmlDeviceGetGpuInstanceProfileInfoV(gpu, NVML_GPU_INSTANCE_PROFILE_1_SLICE, (void *)&p3));
  THAT(p1.id == 19 && p2.id == 19 && p3.id == 19 && p1.memorySizeMB == p2.memorySizeMB && p2.memorySizeMB == p3.memorySizeMB);
  THAT(!strncmp(p2.name, "MIG 1g.", 7) && !strcmp(p2.name, p3.name));
  p2.version = nvmlGpuInstanceProfileInfo_v2 + (4 << 24);
  EXPECT(NVML_ERROR_ARGUMENT_VERSION_MISMATCH, nvmlDeviceGetGpuInstanceProfileInfoV(gpu, 0, &p2));

  nvmlGpuFabricInfoV_t f = {.version = nvmlGpuFabricInfo_v2};
  EXPECT(ampere ? NVML_ERROR_NOT_SUPPORTED : NVML_SUCCESS, nvmlDeviceGetGpuFabricInfoV(gpu, &f)); // Hopper and later
  f.version = nvmlGpuFabricInfo_v3;
  EXPECT(getenv("OLD") ? NVML_ERROR_ARGUMENT_VERSION_MISMATCH : NVML_SUCCESS, nvmlDeviceGetGpuFabricInfoV(gpu, &f)); // R580's
  f.version = 1;
  EXPECT(NVML_ERROR_ARGUMENT_VERSION_MISMATCH, nvmlDeviceGetGpuFabricInfoV(gpu, &f));

  nvmlPciInfoExt_t x = {.version = nvmlPciInfoExt_v1};
  EXPECT(NVML_SUCCESS, nvmlDeviceGetPciInfoExt(gpu, &x));
  THAT(x.baseClass == 3);
  nvmlEccSramErrorStatus_t e = {.version = nvmlEccSramErrorStatus_v1};
  EXPECT(NVML_SUCCESS, nvmlDeviceGetSramEccErrorStatus(gpu, &e));
  nvmlGpmSupport_t g = {.version = NVML_GPM_SUPPORT_VERSION};
  EXPECT(NVML_SUCCESS, nvmlGpmQueryDeviceSupport(gpu, &g));
  THAT(g.isSupportedDevice == (ampere ? 0u : 1u));
  g.version = 7;
  EXPECT(NVML_ERROR_ARGUMENT_VERSION_MISMATCH, nvmlGpmQueryDeviceSupport(gpu, &g));
}

void lists(void) {
  unsigned n = 0, clocks[512];
  nvmlProcessInfo_t procs[4];
  nvmlDevice_t near[64];
  unsigned long cpus[8] = {0};
  act("{\"do\":\"process-start\",\"target\":{\"gpu\":%d,\"gi\":4294967295,\"ci\":4294967295},\"process\":{\"pid\":4242,\"memory\":1048576}}", index_of_gpu);
  EXPECT(NVML_ERROR_INSUFFICIENT_SIZE, nvmlDeviceGetComputeRunningProcesses(gpu, &n, NULL));
  THAT(n == 1);
  n = 4;
  EXPECT(NVML_SUCCESS, nvmlDeviceGetComputeRunningProcesses(gpu, &n, procs));
  THAT(n == 1 && procs[0].pid == 4242 && procs[0].usedGpuMemory == 1048576 && procs[0].gpuInstanceId == 0xFFFFFFFF);
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlDeviceGetComputeRunningProcesses(gpu, NULL, procs));
  n = 4;
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlDeviceGetComputeRunningProcesses(gpu, &n, NULL));
  n = 0;
  EXPECT(NVML_SUCCESS, nvmlDeviceGetGraphicsRunningProcesses(gpu, &n, NULL));
  act("{\"do\":\"process-stop\",\"number\":4242}");
  n = 1;
  EXPECT(NVML_SUCCESS, nvmlDeviceGetSupportedMemoryClocks(gpu, &n, clocks));
  unsigned memory = clocks[0];
  n = 512;
  EXPECT(NVML_SUCCESS, nvmlDeviceGetSupportedGraphicsClocks(gpu, memory, &n, clocks));
  THAT(n > 1);
  n = 1;
  EXPECT(NVML_ERROR_INSUFFICIENT_SIZE, nvmlDeviceGetSupportedGraphicsClocks(gpu, memory, &n, clocks));
  THAT(n > 1);
  n = 64;
  EXPECT(NVML_SUCCESS, nvmlDeviceGetTopologyNearestGpus(gpu, NVML_TOPOLOGY_SYSTEM, &n, near));
  EXPECT(NVML_SUCCESS, nvmlDeviceGetCpuAffinity(gpu, 8, cpus));
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlDeviceGetCpuAffinity(gpu, 0, cpus));
  nvmlFieldValue_t f[3] = {{.fieldId = NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION}, {.fieldId = 60000}, {.fieldId = NVML_FI_DEV_MEMORY_TEMP}};
  EXPECT(NVML_SUCCESS, nvmlDeviceGetFieldValues(gpu, 3, f));
  THAT(f[0].nvmlReturn == NVML_SUCCESS && f[0].timestamp > 0 && f[1].nvmlReturn == NVML_ERROR_INVALID_ARGUMENT && f[2].nvmlReturn == NVML_SUCCESS);
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlDeviceGetFieldValues(gpu, 0, f));
  EXPECT(NVML_ERROR_INVALID_ARGUMENT, nvmlDeviceGetFieldValues(gpu, 3, NULL));
  unsigned long long count = 7;
  EXPECT(NVML_SUCCESS, nvmlDeviceGetTotalEccErrors(gpu, NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_VOLATILE_ECC, &count));
  THAT(count == 0);
}
