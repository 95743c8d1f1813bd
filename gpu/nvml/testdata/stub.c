// A library of two GPUs that never change: an A100 80 GB in MIG mode and a T4. BRANCH hides what a driver branch lacks.
#define NVML_NO_UNVERSIONED_FUNC_DEFS
#include <nvml.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char gpus[2], gis[2], cis[2], migs[2], set;
static int inits, xids = 1;
#define GPU(i) ((nvmlDevice_t)&gpus[i])
#define IS(d, i) ((char *)(d) == &gpus[i])
#define NEED if (!inits) return NVML_ERROR_UNINITIALIZED
// STUB_FAILS makes the driver fail at what it could read at another time.
#define MAYFAIL if (getenv("STUB_FAILS")) return NVML_ERROR_UNKNOWN
#define R nvmlReturn_t

R nvmlInit_v2(void) { inits++; return NVML_SUCCESS; }
R nvmlShutdown(void) { NEED; inits--; return NVML_SUCCESS; }
const char *nvmlErrorString(R r) { return "stub"; }
static R put(char *to, unsigned n, const char *s) { if (strlen(s) >= n) return NVML_ERROR_INSUFFICIENT_SIZE; strcpy(to, s); return NVML_SUCCESS; }
R nvmlSystemGetDriverVersion(char *v, unsigned n) { NEED; return put(v, n, VERSION); }
R nvmlSystemGetNVMLVersion(char *v, unsigned n) { NEED; return put(v, n, "12." VERSION); }
R nvmlSystemGetCudaDriverVersion_v2(int *v) { NEED; *v = 12040; return NVML_SUCCESS; }
R nvmlDeviceGetCount_v2(unsigned *n) { NEED; *n = 2; return NVML_SUCCESS; }
R nvmlDeviceGetHandleByIndex_v2(unsigned i, nvmlDevice_t *d) { NEED; if (i > 1) return NVML_ERROR_INVALID_ARGUMENT; *d = GPU(i); return NVML_SUCCESS; }
R nvmlDeviceGetUUID(nvmlDevice_t d, char *s, unsigned n) {
  NEED;
  if (IS(d, 0)) return put(s, n, "GPU-aaaaaaaa-0000-4000-8000-000000000000");
  if (IS(d, 1)) return put(s, n, "GPU-bbbbbbbb-0000-4000-8000-000000000000");
  if ((char *)d == &migs[0]) return put(s, n, "MIG-cccccccc-0000-4000-8000-000000000000");
  if ((char *)d == &migs[1]) return put(s, n, "MIG-dddddddd-0000-4000-8000-000000000000");
  return NVML_ERROR_INVALID_ARGUMENT;
}
R nvmlDeviceGetName(nvmlDevice_t d, char *s, unsigned n) { NEED; return put(s, n, IS(d, 0) ? "NVIDIA A100-SXM4-80GB" : "Tesla T4"); }
R nvmlDeviceGetMinorNumber(nvmlDevice_t d, unsigned *m) { NEED; *m = IS(d, 0) ? 3 : 1; return NVML_SUCCESS; }
R nvmlDeviceGetMemoryInfo(nvmlDevice_t d, nvmlMemory_t *m) { NEED; memset(m, 0, sizeof *m); m->total = IS(d, 0) ? 81920ULL << 20 : 15360ULL << 20; return NVML_SUCCESS; }
R nvmlDeviceGetCudaComputeCapability(nvmlDevice_t d, int *a, int *b) { NEED; *a = IS(d, 0) ? 8 : 7; *b = IS(d, 0) ? 0 : 5; return NVML_SUCCESS; }
R nvmlDeviceGetArchitecture(nvmlDevice_t d, nvmlDeviceArchitecture_t *a) { NEED; *a = IS(d, 0) ? NVML_DEVICE_ARCH_AMPERE : NVML_DEVICE_ARCH_TURING; return NVML_SUCCESS; }
static void pci(int i, nvmlPciInfo_t *p) {
  memset(p, 0, sizeof *p);
  p->bus = i ? 0xAB : 0x07;
  p->pciDeviceId = i ? 0x1EB810DE : 0x20B210DE;
  p->pciSubSystemId = i ? 0x12A210DE : 0x147F10DE;
  strcpy(p->busId, i ? "00000000:AB:00.0" : "00000000:07:00.0");
}
R nvmlDeviceGetPciInfo_v3(nvmlDevice_t d, nvmlPciInfo_t *p) { NEED; pci(IS(d, 1), p); return NVML_SUCCESS; }
R nvmlDeviceGetTotalEccErrors(nvmlDevice_t d, nvmlMemoryErrorType_t t, nvmlEccCounterType_t c, unsigned long long *n) { NEED; MAYFAIL; *n = t == NVML_MEMORY_ERROR_TYPE_UNCORRECTED && c == NVML_VOLATILE_ECC ? 5 : 0; return NVML_SUCCESS; }
R nvmlDeviceGetRetiredPagesPendingStatus(nvmlDevice_t d, nvmlEnableState_t *s) { NEED; if (IS(d, 0)) return NVML_ERROR_NOT_SUPPORTED; *s = NVML_FEATURE_ENABLED; return NVML_SUCCESS; }
R nvmlDeviceGetRemappedRows(nvmlDevice_t d, unsigned *c, unsigned *u, unsigned *p, unsigned *f) { NEED; MAYFAIL; if (IS(d, 1)) return NVML_ERROR_NOT_SUPPORTED; *c = *u = 1; *p = 0; *f = 1; return NVML_SUCCESS; }
R nvmlDeviceGetTopologyCommonAncestor(nvmlDevice_t a, nvmlDevice_t b, nvmlGpuTopologyLevel_t *l) { NEED; *l = NVML_TOPOLOGY_HOSTBRIDGE; return NVML_SUCCESS; }
R nvmlDeviceGetNvLinkState(nvmlDevice_t d, unsigned l, nvmlEnableState_t *s) { NEED; if (IS(d, 1)) return NVML_ERROR_NOT_SUPPORTED; if (l > 3) return NVML_ERROR_INVALID_ARGUMENT; *s = l != 1; return NVML_SUCCESS; }
R nvmlDeviceGetNvLinkRemotePciInfo_v2(nvmlDevice_t d, unsigned l, nvmlPciInfo_t *p) { NEED; pci(1, p); return NVML_SUCCESS; }
R nvmlDeviceGetNvLinkRemoteDeviceType(nvmlDevice_t d, unsigned l, nvmlIntNvLinkDeviceType_t *t) { NEED; *t = l == 3 ? NVML_NVLINK_DEVICE_TYPE_SWITCH : NVML_NVLINK_DEVICE_TYPE_GPU; return NVML_SUCCESS; }

R nvmlDeviceGetMigMode(nvmlDevice_t d, unsigned *c, unsigned *p) { NEED; if (IS(d, 1)) return NVML_ERROR_NOT_SUPPORTED; *c = *p = 1; return NVML_SUCCESS; }
typedef struct { unsigned id, slices, max, sms, size; unsigned long long mib; const char *name; } profile;
static const profile *find(unsigned e) {
  static const profile one = {19, 1, 7, 14, 1, 9728, "MIG 1g.10gb"}, three = {9, 3, 2, 42, 4, 40192, "MIG 3g.40gb"}, me = {20, 1, 1, 14, 1, 9728, "MIG 1g.10gb+me"};
  return e == 0 ? &one : e == 2 ? &three : e == 7 ? &me : 0;
}
static R profileOf(nvmlDevice_t d, unsigned e, const profile **p) { NEED; if (IS(d, 1)) return NVML_ERROR_NOT_SUPPORTED; if (e > 9) return NVML_ERROR_INVALID_ARGUMENT; return (*p = find(e)) ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED; }
R nvmlDeviceGetGpuInstanceProfileInfo(nvmlDevice_t d, unsigned e, nvmlGpuInstanceProfileInfo_t *i) {
  const profile *p; R r = profileOf(d, e, &p);
  if (r) return r;
  memset(i, 0, sizeof *i); i->id = p->id; i->sliceCount = p->slices; i->instanceCount = p->max; i->multiprocessorCount = p->sms; i->memorySizeMB = p->mib;
  i->decoderCount = p->slices; i->encoderCount = p->slices + 1; i->jpegCount = p->slices + 2; i->ofaCount = p->slices + 3;
  return NVML_SUCCESS;
}
R nvmlDeviceGetGpuInstancePossiblePlacements_v2(nvmlDevice_t d, unsigned id, nvmlGpuInstancePlacement_t *pl, unsigned *n) {
  NEED;
  unsigned c = id == 9 ? 2 : 7, size = id == 9 ? 4 : 1;
  for (unsigned i = 0; pl && i < c; i++) { pl[i].start = i * size; pl[i].size = size; }
  *n = c; return NVML_SUCCESS;
}
// 3g.40gb at 4 as GPU instance 1 with compute instances of 1 and 2 slices; 1g.10gb at 0 as GPU instance 7 with none.
R nvmlDeviceGetGpuInstances(nvmlDevice_t d, unsigned id, nvmlGpuInstance_t *g, unsigned *n) {
  NEED; MAYFAIL; *n = id == 9 || id == 19;
  if (*n) g[0] = (nvmlGpuInstance_t)&gis[id == 19];
  return NVML_SUCCESS;
}
R nvmlGpuInstanceGetInfo(nvmlGpuInstance_t g, nvmlGpuInstanceInfo_t *i) {
  NEED; int one = (char *)g == &gis[1];
  memset(i, 0, sizeof *i); i->device = GPU(0); i->id = one ? 7 : 1; i->profileId = one ? 19 : 9; i->placement.start = one ? 0 : 4; i->placement.size = one ? 1 : 4;
  return NVML_SUCCESS;
}
R nvmlGpuInstanceGetComputeInstanceProfileInfo(nvmlGpuInstance_t g, unsigned p, unsigned e, nvmlComputeInstanceProfileInfo_t *i) {
  NEED; if (p > 7) return NVML_ERROR_INVALID_ARGUMENT;
  if (p > 2 || (p && (char *)g == &gis[1])) return NVML_ERROR_NOT_SUPPORTED;
  memset(i, 0, sizeof *i); i->id = p; i->sliceCount = p + 1; i->instanceCount = 3 / (p + 1);
  return NVML_SUCCESS;
}
R nvmlGpuInstanceGetComputeInstances(nvmlGpuInstance_t g, unsigned p, nvmlComputeInstance_t *c, unsigned *n) {
  NEED; *n = (char *)g == &gis[0] && p < 2;
  if (*n) c[0] = (nvmlComputeInstance_t)&cis[p];
  return NVML_SUCCESS;
}
R nvmlComputeInstanceGetInfo_v2(nvmlComputeInstance_t c, nvmlComputeInstanceInfo_t *i) {
  NEED; int k = (char *)c == &cis[1];
  memset(i, 0, sizeof *i); i->device = (nvmlDevice_t)&migs[k]; i->gpuInstance = (nvmlGpuInstance_t)&gis[0]; i->id = k; i->profileId = k;
  i->placement.start = k; i->placement.size = k + 1;
  return NVML_SUCCESS;
}

R nvmlDeviceGetSupportedEventTypes(nvmlDevice_t d, unsigned long long *t) { NEED; *t = nvmlEventTypeXidCriticalError | (IS(d, 0) ? nvmlEventMigConfigChange : 0); return NVML_SUCCESS; }
R nvmlEventSetCreate(nvmlEventSet_t *s) { NEED; *s = (nvmlEventSet_t)&set; return NVML_SUCCESS; }
R nvmlEventSetFree(nvmlEventSet_t s) { NEED; return NVML_SUCCESS; }
R nvmlDeviceRegisterEvents(nvmlDevice_t d, unsigned long long t, nvmlEventSet_t s) { NEED; unsigned long long can; nvmlDeviceGetSupportedEventTypes(d, &can); return t & ~can ? NVML_ERROR_NOT_SUPPORTED : NVML_SUCCESS; }
R nvmlEventSetWait_v2(nvmlEventSet_t s, nvmlEventData_t *e, unsigned ms) {
  NEED;
  if (!xids) { usleep(ms * 1000); return NVML_ERROR_TIMEOUT; }
  xids--; e->device = GPU(0); e->eventType = nvmlEventTypeXidCriticalError; e->eventData = 31; e->gpuInstanceId = 1; e->computeInstanceId = 0;
  return NVML_SUCCESS;
}
R nvmlDeviceGetFieldValues(nvmlDevice_t d, int n, nvmlFieldValue_t *v) {
  NEED; MAYFAIL;
  for (int i = 0; i < n; i++) { v[i].nvmlReturn = BRANCH < 570 ? NVML_ERROR_NOT_SUPPORTED : NVML_SUCCESS; v[i].value.uiVal = NVML_GPU_RECOVERY_ACTION_DRAIN_P2P; }
  return NVML_SUCCESS;
}

#if BRANCH >= 525
R nvmlDeviceGetGpuInstanceProfileInfoV(nvmlDevice_t d, unsigned e, nvmlGpuInstanceProfileInfo_v2_t *i) {
  const profile *p; R r = profileOf(d, e, &p);
  if (r) return r;
  if (i->version != nvmlGpuInstanceProfileInfo_v2) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  i->id = p->id; i->sliceCount = p->slices; i->instanceCount = p->max; i->multiprocessorCount = p->sms; i->memorySizeMB = p->mib; strcpy(i->name, p->name);
  i->decoderCount = p->slices; i->encoderCount = p->slices + 1; i->jpegCount = p->slices + 2; i->ofaCount = p->slices + 3;
  return NVML_SUCCESS;
}
R nvmlDeviceGetGpuFabricInfo(nvmlDevice_t d, nvmlGpuFabricInfo_t *f) { NEED; memset(f, 0, sizeof *f); f->state = NVML_GPU_FABRIC_STATE_COMPLETED; return NVML_SUCCESS; }
static R processes(nvmlDevice_t d, unsigned *n, nvmlProcessInfo_t *p) {
  NEED; unsigned room = *n; *n = IS(d, 0) ? 2 : 0;
  if (room < *n) return NVML_ERROR_INSUFFICIENT_SIZE;
  for (unsigned i = 0; i < *n; i++) { p[i].pid = 100 + i; p[i].usedGpuMemory = i ? ~0ULL : 1 << 20; p[i].gpuInstanceId = 1; p[i].computeInstanceId = i; }
  return NVML_SUCCESS;
}
R nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t d, unsigned *n, nvmlProcessInfo_t *p) { return processes(d, n, p); }
R nvmlDeviceGetGraphicsRunningProcesses_v3(nvmlDevice_t d, unsigned *n, nvmlProcessInfo_t *p) { return processes(d, n, p); }
#endif
#if BRANCH < 525
R nvmlDeviceGetComputeRunningProcesses_v2(nvmlDevice_t d, unsigned *n, nvmlProcessInfo_v2_t *p) { NEED; if (*n < 1) return NVML_ERROR_INSUFFICIENT_SIZE; *n = 1; memset(p, 0, sizeof *p); p->pid = 100; p->gpuInstanceId = 1; return NVML_SUCCESS; }
#endif
#if BRANCH >= 550
R nvmlDeviceGetGpuFabricInfoV(nvmlDevice_t d, nvmlGpuFabricInfoV_t *f) { NEED; if (f->version != nvmlGpuFabricInfo_v2) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH; MAYFAIL; f->state = NVML_GPU_FABRIC_STATE_IN_PROGRESS; return NVML_SUCCESS; }
#endif
