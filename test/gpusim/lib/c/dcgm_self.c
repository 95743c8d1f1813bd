// DCGM's functions for health, policies, itself and tests, and what needs no engine: texts and fields.
#include "dcgm.h"
#include <dcgm_errors.h>
#include <dcgm_fields.h>
#include <stdbool.h>
#include <dcgm_test_apis.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define checked(p, word)                             \
  do {                                               \
    if (!(p)) return DCGM_ST_BADPARAM;               \
    if ((p)->version != (word)) return DCGM_ST_VER_MISMATCH; \
  } while (0)

dcgmReturn_t dcgmHealthSet(dcgmHandle_t handle, dcgmGpuGrp_t group, dcgmHealthSystems_t systems) {
  struct blob in = {0};
  put32(&in, (uint32_t)group);
  put32(&in, systems);
  return tell(handle, "dcgmHealthSet", &in);
}

dcgmReturn_t dcgmHealthGet(dcgmHandle_t handle, dcgmGpuGrp_t group, dcgmHealthSystems_t *systems) {
  struct blob in = {0}, out;
  if (!systems) return DCGM_ST_BADPARAM;
  put32(&in, (uint32_t)group);
  dcgmReturn_t ret = ask(handle, "dcgmHealthGet", &in, &out);
  if (ret == DCGM_ST_OK) *systems = (dcgmHealthSystems_t)get32(&out);
  free(out.data);
  return ret;
}

dcgmReturn_t dcgmHealthCheck(dcgmHandle_t handle, dcgmGpuGrp_t group, dcgmHealthResponse_t *r) {
  struct blob in = {0}, out;
  checked(r, dcgmHealthResponse_version5);
  put32(&in, (uint32_t)group);
  dcgmReturn_t ret = ask(handle, "dcgmHealthCheck", &in, &out);
  if (ret == DCGM_ST_OK) {
    r->overallHealth = (dcgmHealthWatchResults_t)get32(&out);
    r->incidentCount = get32(&out);
    for (unsigned i = 0; i < r->incidentCount && i < DCGM_HEALTH_WATCH_MAX_INCIDENTS_V2; i++) {
      dcgmIncidentInfo_t *x = &r->incidents[i];
      x->system = (dcgmHealthSystems_t)get32(&out);
      x->health = (dcgmHealthWatchResults_t)get32(&out);
      x->error.code = get32(&out);
      x->entityInfo.entityGroupId = get32(&out);
      x->entityInfo.entityId = get32(&out);
      get_text(&out, x->error.msg, sizeof x->error.msg);
    }
  }
  free(out.data);
  return ret;
}

// Policies: who registered for what.
#define REGISTRATIONS 64
static struct {
  dcgmHandle_t handle;
  dcgmGpuGrp_t group;
  unsigned conditions;
  fpRecvUpdates callback;
  uint64_t user;
} registered[REGISTRATIONS];
static pthread_mutex_t registered_mu = PTHREAD_MUTEX_INITIALIZER; // guards registered

// violated calls back for an XID.
static void violated(dcgmHandle_t handle, struct blob *out) {
  dcgmPolicyCallbackResponse_t r = {.version = dcgmPolicyCallbackResponse_version2, .condition = DCGM_POLICY_COND_XID};
  r.gpuId = get32(out);
  r.val.xid.errnum = get32(out);
  r.val.xid.timestamp = (long long)(get64(out) / 1000000);
  for (unsigned n = get32(out); n > 0; n--) {
    uint32_t group = get32(out);
    for (int i = 0; i < REGISTRATIONS; i++) {
      pthread_mutex_lock(&registered_mu);
      int mine = registered[i].callback && registered[i].handle == handle && registered[i].group == group && registered[i].conditions & DCGM_POLICY_COND_XID;
      fpRecvUpdates callback = registered[i].callback;
      uint64_t user = registered[i].user;
      pthread_mutex_unlock(&registered_mu);
      if (mine) callback(&r, user);
    }
  }
}

dcgmReturn_t dcgmPolicyRegister_v2(dcgmHandle_t handle, dcgmGpuGrp_t group, dcgmPolicyCondition_t conditions, fpRecvUpdates callback, uint64_t user) {
  struct blob in = {0};
  if (!callback) return DCGM_ST_BADPARAM;
  dcgmReturn_t ret = link_listen(handle, violated);
  if (ret != DCGM_ST_OK) return ret;
  put32(&in, (uint32_t)group);
  put32(&in, conditions);
  pthread_mutex_lock(&registered_mu);
  int i = 0;
  while (i < REGISTRATIONS && registered[i].callback) i++;
  if (i < REGISTRATIONS) {
    registered[i].handle = handle;
    registered[i].group = group;
    registered[i].conditions = conditions;
    registered[i].callback = callback;
    registered[i].user = user;
  }
  pthread_mutex_unlock(&registered_mu);
  ret = tell(handle, "dcgmPolicyRegister_v2", &in);
  return i == REGISTRATIONS ? DCGM_ST_MAX_LIMIT : ret;
}

dcgmReturn_t dcgmPolicyUnregister(dcgmHandle_t handle, dcgmGpuGrp_t group, dcgmPolicyCondition_t conditions) {
  struct blob in = {0};
  pthread_mutex_lock(&registered_mu);
  for (int i = 0; i < REGISTRATIONS; i++) {
    if (registered[i].handle != handle || registered[i].group != group) continue;
    registered[i].conditions &= ~(unsigned)conditions;
    if (!registered[i].conditions) registered[i].callback = NULL;
  }
  pthread_mutex_unlock(&registered_mu);
  put32(&in, (uint32_t)group);
  put32(&in, conditions);
  return tell(handle, "dcgmPolicyUnregister", &in);
}

dcgmReturn_t dcgmPolicySet(dcgmHandle_t handle, dcgmGpuGrp_t group, dcgmPolicy_t *policy, dcgmStatus_t status) {
  struct blob in = {0};
  (void)group, (void)status;
  checked(policy, dcgmPolicy_version1);
  return tell(handle, "dcgmPolicySet", &in);
}

dcgmReturn_t dcgmPolicyGet(dcgmHandle_t handle, dcgmGpuGrp_t group, int count, dcgmPolicy_t *policy, dcgmStatus_t status) {
  struct blob in = {0};
  (void)group, (void)status;
  for (int i = 0; i < count; i++) checked(&policy[i], dcgmPolicy_version1);
  return tell(handle, "dcgmPolicyGet", &in);
}

dcgmReturn_t dcgmIntrospectGetHostengineMemoryUsage(dcgmHandle_t handle, dcgmIntrospectMemory_t *m, int wait) {
  struct blob in = {0};
  (void)wait;
  checked(m, dcgmIntrospectMemory_version1);
  m->bytesUsed = 48 << 20;
  return tell(handle, "dcgmIntrospectGetHostengineMemoryUsage", &in);
}

dcgmReturn_t dcgmIntrospectGetHostengineCpuUtilization(dcgmHandle_t handle, dcgmIntrospectCpuUtil_t *c, int wait) {
  struct blob in = {0};
  (void)wait;
  checked(c, dcgmIntrospectCpuUtil_version1);
  c->total = 0.02;
  c->kernel = c->user = 0.01;
  return tell(handle, "dcgmIntrospectGetHostengineCpuUtilization", &in);
}

dcgmReturn_t dcgmInjectFieldValue(dcgmHandle_t handle, unsigned int gpu, dcgmInjectFieldValue_t *v) {
  struct blob in = {0};
  checked(v, dcgmInjectFieldValue_version1);
  put32(&in, gpu);
  put32(&in, v->fieldId);
  put32(&in, v->fieldType);
  put32(&in, (uint32_t)v->status);
  put64(&in, (uint64_t)v->ts);
  put64(&in, (uint64_t)v->value.i64);
  return tell(handle, "dcgmInjectFieldValue", &in);
}

dcgmReturn_t dcgmCreateFakeEntities(dcgmHandle_t handle, dcgmCreateFakeEntities_t *e) { return (void)handle, (void)e, DCGM_ST_NOT_SUPPORTED; }

dcgmReturn_t dcgmWatchPidFields(dcgmHandle_t handle, dcgmGpuGrp_t group, long long period, double age, int count) {
  return (void)handle, (void)group, (void)period, (void)age, (void)count, DCGM_ST_NOT_SUPPORTED;
}

dcgmReturn_t dcgmGetPidInfo(dcgmHandle_t handle, dcgmGpuGrp_t group, dcgmPidInfo_t *info) {
  return (void)handle, (void)group, (void)info, DCGM_ST_NOT_SUPPORTED;
}

dcgmReturn_t dcgmRunDiagnostic(dcgmHandle_t handle, dcgmGpuGrp_t group, dcgmDiagnosticLevel_t level, dcgmDiagResponse_v12 *response) {
  return (void)handle, (void)group, (void)level, (void)response, DCGM_ST_NOT_SUPPORTED;
}

// The fields, as the simulation's table has them for this version.
static dcgm_field_output_format_t format = {"", "", 10};
#define FIELD(id, type, bytes, tag, scope, level) {id, type, bytes, tag, scope, 0, level, &format},
static const dcgm_field_meta_t fields[] = {
#include "fields.inc"
};

dcgm_field_meta_p DcgmFieldGetById(unsigned short id) {
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
    if (fields[i].fieldId == id) return &fields[i];
  return NULL;
}

int DcgmFieldsInit(void) { return 0; }
int DcgmFieldsTerm(void) { return 0; }

const dcgm_error_meta_t *dcgmGetErrorMeta(dcgmError_t error) {
  static const dcgm_error_meta_t known[] = {
      {DCGM_FR_VOLATILE_DBE_DETECTED, "Detected %d volatile double-bit ECC error(s) in GPU %u.", "Drain the GPU and reset it.", DCGM_ERROR_RESET,
       DCGM_FR_EC_HARDWARE_MEMORY},
      {DCGM_FR_ROW_REMAP_FAILURE, "GPU %u had uncorrectable memory errors and row remapping failed.", "Run a field diagnostic.", DCGM_ERROR_ISOLATE,
       DCGM_FR_EC_HARDWARE_MEMORY},
      {DCGM_FR_PENDING_ROW_REMAP, "GPU %u has a pending row remapping.", "Drain the GPU and reset it.", DCGM_ERROR_RESET, DCGM_FR_EC_HARDWARE_MEMORY},
      {DCGM_FR_FALLEN_OFF_BUS, "GPU %u has fallen off the bus", "Reset or reboot.", DCGM_ERROR_ISOLATE, DCGM_FR_EC_HARDWARE_PCIE},
  };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (known[i].errorId == error) return &known[i];
  return NULL;
}

const char *errorString(dcgmReturn_t code) {
  switch ((int)code) {
  case DCGM_ST_OK: return "Success";
  case DCGM_ST_BADPARAM: return "Bad parameter passed to function";
  case DCGM_ST_GENERIC_ERROR: return "Generic unspecified error";
  case DCGM_ST_MEMORY: return "Out of memory error";
  case DCGM_ST_NOT_CONFIGURED: return "Setting not configured";
  case DCGM_ST_NOT_SUPPORTED: return "Feature not supported";
  case DCGM_ST_INIT_ERROR: return "DCGM initialization error";
  case DCGM_ST_NVML_ERROR: return "NVML error";
  case DCGM_ST_UNINITIALIZED: return "Object is uninitialized";
  case DCGM_ST_TIMEOUT: return "Timeout";
  case DCGM_ST_VER_MISMATCH: return "API version mismatch";
  case DCGM_ST_UNKNOWN_FIELD: return "Unknown field identifier";
  case DCGM_ST_NO_DATA: return "No data is available";
  case DCGM_ST_STALE_DATA: return "Only stale data is available";
  case DCGM_ST_NOT_WATCHED: return "Field is not being watched";
  case DCGM_ST_NO_PERMISSION: return "No permission";
  case DCGM_ST_GPU_IS_LOST: return "GPU is lost";
  case DCGM_ST_RESET_REQUIRED: return "GPU requires reset";
  case DCGM_ST_CONNECTION_NOT_VALID: return "Host engine connection invalid/disconnected";
  case DCGM_ST_MAX_LIMIT: return "Max limit reached";
  case DCGM_ST_DUPLICATE_KEY: return "Duplicate key";
  case DCGM_ST_INSUFFICIENT_SIZE: return "Insufficient size";
  case DCGM_ST_MODULE_NOT_LOADED: return "Module not loaded";
  case DCGM_ST_IN_USE: return "In use";
  case DCGM_ST_GROUP_IS_EMPTY: return "Group is empty";
  case DCGM_ST_PROFILING_NOT_SUPPORTED: return "Profiling is not supported";
  case DCGM_ST_PROFILING_LIBRARY_ERROR: return "Profiling library error";
  case DCGM_ST_PROFILING_MULTI_PASS: return "Profiling needs several passes";
  case DCGM_ST_PAUSED: return "Paused";
  case DCGM_ST_NVML_NOT_LOADED: return "NVML is not loaded";
  case DCGM_ST_NVML_DRIVER_TIMEOUT: return "NVML driver timeout";
  case DCGM_ST_GPUS_DETACHED: return "GPUs are detached";
  }
  return "Unknown error";
}
