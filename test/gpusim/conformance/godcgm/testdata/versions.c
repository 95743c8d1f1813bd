// Calls with wrong version words, without structures and without a connection, as dcgm_agent.h documents them; then many threads
// that call at once.
#include <dcgm_agent.h>
#include <dcgm_fields.h>
#include <dcgm_structs.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

static void expect(const char *text, int want, int got) {
  if (want == got) return;
  failures++;
  printf("%s gives %d, want %d\n", text, got, want);
}

#define EXPECT(want, call) expect(#call, want, call)

// VERSIONED wants OK with the right word, a mismatch with another, and a bad parameter without a structure.
#define VERSIONED(type, word, call)           \
  do {                                        \
    type *p = calloc(1, sizeof *p);           \
    p->version = (word) + (1 << 24);          \
    expect(#type, DCGM_ST_VER_MISMATCH, call); \
    p->version = (word) + 8;                  \
    expect(#type, DCGM_ST_VER_MISMATCH, call); \
    p->version = (word);                      \
    expect(#type, DCGM_ST_OK, call);          \
    free(p);                                  \
    p = NULL;                                 \
    expect(#type, DCGM_ST_BADPARAM, call);    \
  } while (0)

static dcgmHandle_t handle;

static void *reader(void *arg) {
  unsigned short fields[] = {DCGM_FI_DEV_GPU_TEMP, DCGM_FI_DEV_NAME};
  dcgmGroupEntityPair_t gpus[] = {{DCGM_FE_GPU, 0}, {DCGM_FE_GPU, 1}};
  dcgmFieldValue_v2 *values = calloc(4, sizeof *values);
  for (int i = 0; i < 100; i++) {
    int ret = dcgmEntitiesGetLatestValues(handle, gpus, 2, fields, 2, DCGM_FV_FLAG_LIVE_DATA, values);
    if (ret != 0 || values[0].version != dcgmFieldValue_version2 || values[3].entityId != 1 || values[3].fieldId != fields[1] || strlen(values[3].value.str) < 4)
      __atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
  }
  free(values);
  return NULL;
}

int main(void) {
  unsigned ids[DCGM_MAX_NUM_DEVICES];
  int count = 0, wrong = 0;
  pthread_t threads[8];
  EXPECT(DCGM_ST_UNINITIALIZED, dcgmStartEmbedded(DCGM_OPERATION_MODE_AUTO, &handle));
  EXPECT(DCGM_ST_OK, dcgmInit());
  EXPECT(DCGM_ST_CONNECTION_NOT_VALID, dcgmGetAllDevices(33, ids, &count));
  EXPECT(DCGM_ST_BADPARAM, dcgmStartEmbedded(DCGM_OPERATION_MODE_AUTO, NULL));
  EXPECT(DCGM_ST_OK, dcgmStartEmbedded(DCGM_OPERATION_MODE_AUTO, &handle));
  EXPECT(DCGM_ST_BADPARAM, dcgmGetAllDevices(handle, NULL, &count));
  EXPECT(DCGM_ST_OK, dcgmGetAllDevices(handle, ids, &count));
  EXPECT(8, count);
  count = 3;
  EXPECT(DCGM_ST_INSUFFICIENT_SIZE, dcgmGetEntityGroupEntities(handle, DCGM_FE_GPU, ids, &count, 0));
  EXPECT(8, count);

  dcgmConnectV2Params_t v2 = {.version = dcgmConnectV2Params_version1};
  dcgmConnectV3Params_t v3 = {.version = dcgmConnectV2Params_version2};
  dcgmHandle_t other;
  EXPECT(DCGM_ST_VER_MISMATCH, dcgmConnect_v2("/nowhere", &v2, &other));
  EXPECT(DCGM_ST_VER_MISMATCH, dcgmConnect_v3("unix:///nowhere", &v3, &other));
  v3.version = dcgmConnectV3Params_version;
  EXPECT(DCGM_ST_CONNECTION_NOT_VALID, dcgmConnect_v3("unix:///nowhere", &v3, &other));
  EXPECT(DCGM_ST_BADPARAM, dcgmConnect_v3("nowhere", &v3, &other));

  VERSIONED(dcgmVersionInfo_t, dcgmVersionInfo_version, dcgmVersionInfo(p));
  VERSIONED(dcgmVersionInfo_t, dcgmVersionInfo_version, dcgmHostengineVersionInfo(handle, p));
  VERSIONED(dcgmDeviceAttributes_t, dcgmDeviceAttributes_version3, dcgmGetDeviceAttributes(handle, 0, p));
  VERSIONED(dcgmMigHierarchy_v2, dcgmMigHierarchy_version2, dcgmGetGpuInstanceHierarchy(handle, p));
  VERSIONED(dcgmNvLinkStatus_v5, dcgmNvLinkStatus_version5, dcgmGetNvLinkLinkStatus(handle, p));
  VERSIONED(dcgmNvLinkP2PStatus_v1, dcgmNvLinkP2PStatus_version1, dcgmGetNvLinkP2PStatus(handle, p));
  VERSIONED(dcgmDeviceTopology_v2, dcgmDeviceTopology_version2, dcgmGetDeviceTopology(handle, 0, p));
  VERSIONED(dcgmGroupInfo_t, dcgmGroupInfo_version3, dcgmGroupGetInfo(handle, DCGM_GROUP_ALL_GPUS, p));
  VERSIONED(dcgmHealthResponse_t, dcgmHealthResponse_version5, dcgmHealthCheck(handle, DCGM_GROUP_ALL_GPUS, p));
  VERSIONED(dcgmProfGetMetricGroups_t, dcgmProfGetMetricGroups_version3, dcgmProfGetSupportedMetricGroups(handle, p));
  VERSIONED(dcgmIntrospectMemory_t, dcgmIntrospectMemory_version1, dcgmIntrospectGetHostengineMemoryUsage(handle, p, 1));
  VERSIONED(dcgmIntrospectCpuUtil_t, dcgmIntrospectCpuUtil_version1, dcgmIntrospectGetHostengineCpuUtilization(handle, p, 1));

  for (int i = 0; i < 8; i++) pthread_create(&threads[i], NULL, reader, &wrong);
  for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
  EXPECT(0, wrong);
  EXPECT(DCGM_ST_OK, dcgmStopEmbedded(handle));
  EXPECT(DCGM_ST_CONNECTION_NOT_VALID, dcgmUpdateAllFields(handle, 1));
  EXPECT(DCGM_ST_OK, dcgmShutdown());
  EXPECT(DCGM_ST_UNINITIALIZED, dcgmShutdown());
  return failures != 0;
}
