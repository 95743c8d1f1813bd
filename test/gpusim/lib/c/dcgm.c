// DCGM's functions: each packs its arguments, asks the engine and lays the answer out as NVIDIA's header says.
#include "dcgm.h"
#include <dcgm_errors.h>
#include <dcgm_fields.h>
#include <dcgm_test_structs.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

// checked leaves a function whose structure has another version word.
#define checked(p, word)                             \
  do {                                               \
    if (!(p)) return DCGM_ST_BADPARAM;               \
    if ((p)->version != (word)) return DCGM_ST_VER_MISMATCH; \
  } while (0)

static int inits;

dcgmReturn_t dcgmInit(void) {
  __atomic_add_fetch(&inits, 1, __ATOMIC_SEQ_CST);
  return DCGM_ST_OK;
}

dcgmReturn_t dcgmShutdown(void) {
  if (__atomic_load_n(&inits, __ATOMIC_SEQ_CST) == 0) return DCGM_ST_UNINITIALIZED;
  __atomic_sub_fetch(&inits, 1, __ATOMIC_SEQ_CST);
  return DCGM_ST_OK;
}

static dcgmReturn_t open_link(int mode, const char *address, unsigned timeout, dcgmHandle_t *handle) {
  if (!handle) return DCGM_ST_BADPARAM;
  if (__atomic_load_n(&inits, __ATOMIC_SEQ_CST) == 0) return DCGM_ST_UNINITIALIZED;
  return link_open(mode, address, timeout, handle);
}

dcgmReturn_t dcgmStartEmbedded(dcgmOperationMode_t mode, dcgmHandle_t *handle) {
  if (mode != DCGM_OPERATION_MODE_AUTO && mode != DCGM_OPERATION_MODE_MANUAL) return DCGM_ST_BADPARAM;
  return open_link(0, NULL, 0, handle);
}

dcgmReturn_t dcgmStopEmbedded(dcgmHandle_t handle) {
  link_close(handle);
  return DCGM_ST_OK;
}

dcgmReturn_t dcgmConnect_v2(const char *address, dcgmConnectV2Params_t *params, dcgmHandle_t *handle) {
  if (!address || !*address) return DCGM_ST_BADPARAM;
  checked(params, dcgmConnectV2Params_version2);
  return open_link(params->addressIsUnixSocket ? 2 : 1, address, params->timeoutMs, handle);
}

dcgmReturn_t dcgmConnect_v3(const char *address, dcgmConnectV3Params_t *params, dcgmHandle_t *handle) {
  if (!address) return DCGM_ST_BADPARAM;
  checked(params, dcgmConnectV3Params_version1);
  if (strncmp(address, "tcp://", 6) == 0) return open_link(1, address + 6, params->timeoutMs, handle);
  if (strncmp(address, "unix://", 7) == 0) return open_link(2, address + 7, params->timeoutMs, handle);
  return DCGM_ST_BADPARAM;
}

dcgmReturn_t dcgmDisconnect(dcgmHandle_t handle) {
  link_close(handle);
  return DCGM_ST_OK;
}

dcgmReturn_t dcgmVersionInfo(dcgmVersionInfo_t *info) {
  static const char text[] = "version:" DCGM_VERSION ";arch:x86_64;buildtype:Release;buildid:simulated";
  checked(info, dcgmVersionInfo_version2);
  memcpy(info->rawBuildInfoString, text, sizeof text);
  return DCGM_ST_OK;
}

dcgmReturn_t dcgmHostengineVersionInfo(dcgmHandle_t handle, dcgmVersionInfo_t *info) {
  struct blob in = {0}, out;
  checked(info, dcgmVersionInfo_version2);
  dcgmReturn_t ret = ask(handle, "dcgmHostengineVersionInfo", &in, &out);
  if (ret == DCGM_ST_OK) get_text(&out, info->rawBuildInfoString, sizeof info->rawBuildInfoString);
  free(out.data);
  return ret;
}

static dcgmReturn_t plain(dcgmHandle_t handle, const char *name) {
  struct blob in = {0};
  return tell(handle, name, &in);
}

dcgmReturn_t dcgmAttachDriver(dcgmHandle_t handle) { return plain(handle, "dcgmAttachDriver"); }
dcgmReturn_t dcgmDetachDriver(dcgmHandle_t handle) { return plain(handle, "dcgmDetachDriver"); }

// Devices.

static dcgmReturn_t list(dcgmHandle_t handle, const char *name, struct blob *in, unsigned *ids, int *count, int room) {
  struct blob out;
  dcgmReturn_t ret = ask(handle, name, in, &out);
  if (ret == DCGM_ST_OK) {
    int n = (int)get32(&out);
    for (int i = 0; i < n && i < room; i++) ids[i] = get32(&out);
    *count = n;
    if (n > room) ret = DCGM_ST_INSUFFICIENT_SIZE;
  }
  free(out.data);
  return ret;
}

dcgmReturn_t dcgmGetAllDevices(dcgmHandle_t handle, unsigned int ids[DCGM_MAX_NUM_DEVICES], int *count) {
  struct blob in = {0};
  return ids && count ? list(handle, "dcgmGetAllDevices", &in, ids, count, DCGM_MAX_NUM_DEVICES) : DCGM_ST_BADPARAM;
}

dcgmReturn_t dcgmGetAllSupportedDevices(dcgmHandle_t handle, unsigned int ids[DCGM_MAX_NUM_DEVICES], int *count) {
  struct blob in = {0};
  return ids && count ? list(handle, "dcgmGetAllSupportedDevices", &in, ids, count, DCGM_MAX_NUM_DEVICES) : DCGM_ST_BADPARAM;
}

dcgmReturn_t dcgmGetEntityGroupEntities(dcgmHandle_t handle, dcgm_field_entity_group_t group, dcgm_field_eid_t *ids, int *count, unsigned int flags) {
  struct blob in = {0};
  if (!ids || !count || *count < 0) return DCGM_ST_BADPARAM;
  put32(&in, group);
  put32(&in, flags);
  return list(handle, "dcgmGetEntityGroupEntities", &in, ids, count, *count);
}

dcgmReturn_t dcgmGetGpuStatus(dcgmHandle_t handle, unsigned int gpu, DcgmEntityStatus_t *status) {
  struct blob in = {0}, out;
  if (!status) return DCGM_ST_BADPARAM;
  put32(&in, gpu);
  dcgmReturn_t ret = ask(handle, "dcgmGetGpuStatus", &in, &out);
  if (ret == DCGM_ST_OK) *status = (DcgmEntityStatus_t)get32(&out);
  free(out.data);
  return ret;
}

dcgmReturn_t dcgmGetGpuInstanceHierarchy(dcgmHandle_t handle, dcgmMigHierarchy_v2 *h) {
  struct blob in = {0}, out;
  checked(h, dcgmMigHierarchy_version2);
  dcgmReturn_t ret = ask(handle, "dcgmGetGpuInstanceHierarchy", &in, &out);
  if (ret == DCGM_ST_OK) {
    h->count = get32(&out);
    if (h->count > DCGM_MAX_HIERARCHY_INFO) h->count = DCGM_MAX_HIERARCHY_INFO;
    for (unsigned i = 0; i < h->count; i++) {
      dcgmMigHierarchyInfo_v2 *e = &h->entityList[i];
      e->entity.entityGroupId = get32(&out);
      e->entity.entityId = get32(&out);
      e->parent.entityGroupId = get32(&out);
      e->parent.entityId = get32(&out);
      get_text(&out, e->info.gpuUuid, sizeof e->info.gpuUuid);
      e->info.nvmlGpuIndex = get32(&out);
      e->info.nvmlInstanceId = get32(&out);
      e->info.nvmlComputeInstanceId = get32(&out);
      e->info.nvmlMigProfileId = get32(&out);
      e->info.nvmlProfileSlices = get32(&out);
    }
  }
  free(out.data);
  return ret;
}

dcgmReturn_t dcgmGetDeviceAttributes(dcgmHandle_t handle, unsigned int gpu, dcgmDeviceAttributes_t *a) {
  struct blob in = {0}, out;
  checked(a, dcgmDeviceAttributes_version3);
  put32(&in, gpu);
  dcgmReturn_t ret = ask(handle, "dcgmGetDeviceAttributes", &in, &out);
  if (ret == DCGM_ST_OK) {
    unsigned *numbers[] = {
        &a->thermalSettings.slowdownTemp, &a->thermalSettings.shutdownTemp, &a->powerLimits.curPowerLimit, &a->powerLimits.defaultPowerLimit,
        &a->powerLimits.enforcedPowerLimit, &a->powerLimits.minPowerLimit, &a->powerLimits.maxPowerLimit, &a->memoryUsage.bar1Total,
        &a->memoryUsage.fbTotal, &a->memoryUsage.fbUsed, &a->memoryUsage.fbFree, &a->settings.persistenceModeEnabled, &a->settings.migModeEnabled,
        &a->identifiers.pciDeviceId,
    };
    char *texts[] = {a->identifiers.brandName, a->identifiers.deviceName, a->identifiers.pciBusId, a->identifiers.serial,
                     a->identifiers.uuid, a->identifiers.vbios, a->identifiers.inforomImageVersion, a->identifiers.driverVersion};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) *numbers[i] = get32(&out);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) get_text(&out, texts[i], DCGM_MAX_STR_LENGTH);
  }
  free(out.data);
  return ret;
}

dcgmReturn_t dcgmGetDeviceTopology(dcgmHandle_t handle, unsigned int gpu, dcgmDeviceTopology_v2 *t) {
  struct blob in = {0}, out;
  checked(t, dcgmDeviceTopology_version2);
  put32(&in, gpu);
  dcgmReturn_t ret = ask(handle, "dcgmGetDeviceTopology", &in, &out);
  if (ret == DCGM_ST_OK) {
    memset(t->cpuAffinityMask, 0, sizeof t->cpuAffinityMask);
    t->numGpus = get32(&out);
    for (unsigned i = 0; i < t->numGpus && i < DCGM_MAX_NUM_DEVICES - 1; i++) {
      t->gpuPaths[i].gpuId = get32(&out);
      t->gpuPaths[i].path = get64(&out);
      t->gpuPaths[i].localNvLinkIds = get64(&out);
    }
  }
  free(out.data);
  return ret;
}

dcgmReturn_t dcgmGetNvLinkLinkStatus(dcgmHandle_t handle, dcgmNvLinkStatus_v5 *s) {
  struct blob in = {0}, out;
  checked(s, dcgmNvLinkStatus_version5);
  dcgmReturn_t ret = ask(handle, "dcgmGetNvLinkLinkStatus", &in, &out);
  if (ret == DCGM_ST_OK) {
    s->numNvSwitches = 0;
    s->numGpus = get32(&out);
    for (unsigned i = 0; i < s->numGpus && i < DCGM_MAX_NUM_DEVICES; i++) {
      s->gpus[i].entityId = get32(&out);
      for (int k = 0; k < DCGM_NVLINK_MAX_LINKS_PER_GPU; k++) s->gpus[i].linkState[k] = (dcgmNvLinkLinkState_t)get32(&out);
    }
  }
  free(out.data);
  return ret;
}

dcgmReturn_t dcgmGetNvLinkP2PStatus(dcgmHandle_t handle, dcgmNvLinkP2PStatus_v1 *s) {
  struct blob in = {0}, out;
  checked(s, dcgmNvLinkP2PStatus_version1);
  dcgmReturn_t ret = ask(handle, "dcgmGetNvLinkP2PStatus", &in, &out);
  if (ret == DCGM_ST_OK) {
    s->numGpus = get32(&out);
    for (unsigned i = 0; i < s->numGpus && i < DCGM_MAX_NUM_DEVICES; i++) {
      s->gpus[i].entityId = get32(&out);
      for (unsigned k = 0; k < s->numGpus && k < DCGM_MAX_NUM_DEVICES; k++) s->gpus[i].linkStatus[k] = (dcgmNvLinkGpuP2PStatus_t)get32(&out);
    }
  }
  free(out.data);
  return ret;
}

dcgmReturn_t dcgmGetCpuHierarchy(dcgmHandle_t handle, dcgmCpuHierarchy_v1 *h) {
  (void)handle;
  checked(h, dcgmCpuHierarchy_version1);
  return DCGM_ST_NOT_SUPPORTED; // no Grace
}

dcgmReturn_t dcgmGetCpuHierarchy_v2(dcgmHandle_t handle, dcgmCpuHierarchy_v2 *h) {
  (void)handle;
  checked(h, dcgmCpuHierarchy_version2);
  return DCGM_ST_NOT_SUPPORTED;
}

dcgmReturn_t dcgmProfGetSupportedMetricGroups(dcgmHandle_t handle, dcgmProfGetMetricGroups_t *g) {
  struct blob in = {0}, out;
  checked(g, dcgmProfGetMetricGroups_version3);
  put32(&in, g->gpuId);
  dcgmReturn_t ret = ask(handle, "dcgmProfGetSupportedMetricGroups", &in, &out);
  if (ret == DCGM_ST_OK) {
    g->numMetricGroups = get32(&out);
    for (unsigned i = 0; i < g->numMetricGroups && i < DCGM_PROF_MAX_NUM_GROUPS_V2; i++) {
      dcgmProfMetricGroupInfo_v2 *m = &g->metricGroups[i];
      m->majorId = (unsigned short)get32(&out);
      m->minorId = (unsigned short)get32(&out);
      m->numFieldIds = get32(&out);
      for (unsigned k = 0; k < m->numFieldIds && k < DCGM_PROF_MAX_FIELD_IDS_PER_GROUP_V2; k++) m->fieldIds[k] = (unsigned short)get32(&out);
    }
  }
  free(out.data);
  return ret;
}
