// DCGM's functions for groups, watches and values.
#include "dcgm.h"
#include <dcgm_fields.h>
#include <stdlib.h>
#include <string.h>

static dcgmReturn_t made(dcgmHandle_t handle, const char *name, struct blob *in, uintptr_t *id) {
  struct blob out;
  dcgmReturn_t ret = ask(handle, name, in, &out);
  if (ret == DCGM_ST_OK) *id = get32(&out);
  free(out.data);
  return ret;
}

dcgmReturn_t dcgmGroupCreate(dcgmHandle_t handle, dcgmGroupType_t type, const char *name, dcgmGpuGrp_t *group) {
  struct blob in = {0};
  if (!name || !group) return DCGM_ST_BADPARAM;
  put32(&in, type);
  put_text(&in, name);
  return made(handle, "dcgmGroupCreate", &in, group);
}

static dcgmReturn_t with(dcgmHandle_t handle, const char *name, int count, const uint32_t *numbers) {
  struct blob in = {0};
  for (int i = 0; i < count; i++) put32(&in, numbers[i]);
  return tell(handle, name, &in);
}

dcgmReturn_t dcgmGroupDestroy(dcgmHandle_t handle, dcgmGpuGrp_t group) {
  return with(handle, "dcgmGroupDestroy", 1, (uint32_t[]){(uint32_t)group});
}

dcgmReturn_t dcgmGroupAddDevice(dcgmHandle_t handle, dcgmGpuGrp_t group, unsigned int gpu) {
  return with(handle, "dcgmGroupAddDevice", 2, (uint32_t[]){(uint32_t)group, gpu});
}

dcgmReturn_t dcgmGroupAddEntity(dcgmHandle_t handle, dcgmGpuGrp_t group, dcgm_field_entity_group_t kind, dcgm_field_eid_t id) {
  return with(handle, "dcgmGroupAddEntity", 3, (uint32_t[]){(uint32_t)group, kind, id});
}

dcgmReturn_t dcgmGroupGetInfo(dcgmHandle_t handle, dcgmGpuGrp_t group, dcgmGroupInfo_t *info) {
  struct blob in = {0}, out;
  if (!info) return DCGM_ST_BADPARAM;
  if (info->version != dcgmGroupInfo_version3) return DCGM_ST_VER_MISMATCH;
  put32(&in, (uint32_t)group);
  dcgmReturn_t ret = ask(handle, "dcgmGroupGetInfo", &in, &out);
  if (ret == DCGM_ST_OK) {
    get_text(&out, info->groupName, sizeof info->groupName);
    info->count = get32(&out);
    for (unsigned i = 0; i < info->count && i < DCGM_GROUP_MAX_ENTITIES_V2; i++) {
      info->entityList[i].entityGroupId = get32(&out);
      info->entityList[i].entityId = get32(&out);
    }
  }
  free(out.data);
  return ret;
}

static void put_fields(struct blob *in, const unsigned short *fields, unsigned count) {
  put32(in, count);
  for (unsigned i = 0; i < count; i++) put32(in, fields[i]);
}

dcgmReturn_t dcgmFieldGroupCreate(dcgmHandle_t handle, int count, const unsigned short *fields, const char *name, dcgmFieldGrp_t *group) {
  struct blob in = {0};
  if (!fields || count < 1 || !name || !group) return DCGM_ST_BADPARAM;
  put_text(&in, name);
  put_fields(&in, fields, (unsigned)count);
  return made(handle, "dcgmFieldGroupCreate", &in, group);
}

dcgmReturn_t dcgmFieldGroupDestroy(dcgmHandle_t handle, dcgmFieldGrp_t group) {
  return with(handle, "dcgmFieldGroupDestroy", 1, (uint32_t[]){(uint32_t)group});
}

dcgmReturn_t dcgmWatchFields(dcgmHandle_t handle, dcgmGpuGrp_t group, dcgmFieldGrp_t fields, long long period, double age, int count) {
  struct blob in = {0};
  put32(&in, (uint32_t)group);
  put32(&in, (uint32_t)fields);
  put64(&in, (uint64_t)period);
  put_double(&in, age);
  put32(&in, (uint32_t)count);
  return tell(handle, "dcgmWatchFields", &in);
}

dcgmReturn_t dcgmUnwatchFields(dcgmHandle_t handle, dcgmGpuGrp_t group, dcgmFieldGrp_t fields) {
  return with(handle, "dcgmUnwatchFields", 2, (uint32_t[]){(uint32_t)group, (uint32_t)fields});
}

dcgmReturn_t dcgmUpdateAllFields(dcgmHandle_t handle, int wait) { return with(handle, "dcgmUpdateAllFields", 1, (uint32_t[]){(uint32_t)wait}); }

// next_value reads one value of an answer.
static void next_value(struct blob *out, dcgmFieldValue_v2 *v) {
  v->version = dcgmFieldValue_version2;
  v->entityGroupId = get32(out);
  v->entityId = get32(out);
  v->fieldId = (unsigned short)get32(out);
  v->fieldType = (unsigned short)get32(out);
  v->status = (int)get32(out);
  v->unused = 0;
  v->ts = (int64_t)get64(out);
  if (v->fieldType == DCGM_FT_STRING) {
    get_text(out, v->value.str, sizeof v->value.str);
  } else {
    get32(out);
    v->value.i64 = (int64_t)get64(out);
  }
}

static void as_v1(const dcgmFieldValue_v2 *v, dcgmFieldValue_v1 *o) {
  o->version = dcgmFieldValue_version1;
  o->fieldId = v->fieldId;
  o->fieldType = v->fieldType;
  o->status = v->status;
  o->ts = v->ts;
  memcpy(&o->value, &v->value, v->fieldType == DCGM_FT_STRING ? sizeof v->value.str : sizeof v->value.i64);
}

// values_v1 fills what one entity has.
static dcgmReturn_t values_v1(dcgmHandle_t handle, const char *name, struct blob *in, unsigned short *fields, unsigned count, dcgmFieldValue_v1 *values) {
  struct blob out;
  put_fields(in, fields, count);
  put32(in, 0);
  dcgmReturn_t ret = ask(handle, name, in, &out);
  dcgmFieldValue_v2 *v = ret == DCGM_ST_OK ? malloc(sizeof *v) : NULL;
  if (ret == DCGM_ST_OK && !v) ret = DCGM_ST_MEMORY;
  if (ret == DCGM_ST_OK) {
    unsigned n = get32(&out);
    for (unsigned i = 0; i < n && i < count; i++) {
      next_value(&out, v);
      as_v1(v, &values[i]);
    }
  }
  free(v);
  free(out.data);
  return ret;
}

dcgmReturn_t dcgmGetLatestValuesForFields(dcgmHandle_t handle, int gpu, unsigned short fields[], unsigned int count, dcgmFieldValue_v1 values[]) {
  struct blob in = {0};
  if (!fields || !values || !count) return DCGM_ST_BADPARAM;
  put32(&in, (uint32_t)gpu);
  return values_v1(handle, "dcgmGetLatestValuesForFields", &in, fields, count, values);
}

dcgmReturn_t dcgmEntityGetLatestValues(dcgmHandle_t handle, dcgm_field_entity_group_t group, int id, unsigned short fields[], unsigned int count,
                                       dcgmFieldValue_v1 values[]) {
  struct blob in = {0};
  if (!fields || !values || !count) return DCGM_ST_BADPARAM;
  put32(&in, group);
  put32(&in, (uint32_t)id);
  return values_v1(handle, "dcgmEntityGetLatestValues", &in, fields, count, values);
}

dcgmReturn_t dcgmEntitiesGetLatestValues(dcgmHandle_t handle, dcgmGroupEntityPair_t entities[], unsigned int entity_count, unsigned short fields[],
                                         unsigned int field_count, unsigned int flags, dcgmFieldValue_v2 values[]) {
  struct blob in = {0}, out;
  if (!entities || !entity_count || !fields || !field_count || !values) return DCGM_ST_BADPARAM;
  put32(&in, entity_count);
  for (unsigned i = 0; i < entity_count; i++) {
    put32(&in, entities[i].entityGroupId);
    put32(&in, entities[i].entityId);
  }
  put_fields(&in, fields, field_count);
  put32(&in, flags);
  dcgmReturn_t ret = ask(handle, "dcgmEntitiesGetLatestValues", &in, &out);
  if (ret == DCGM_ST_OK) {
    unsigned n = get32(&out);
    for (unsigned i = 0; i < n && i < entity_count * field_count; i++) next_value(&out, &values[i]);
  }
  free(out.data);
  return ret;
}

dcgmReturn_t dcgmGetValuesSince_v2(dcgmHandle_t handle, dcgmGpuGrp_t group, dcgmFieldGrp_t fields, long long since, long long *next,
                                   dcgmFieldValueEntityEnumeration_f callback, void *user) {
  struct blob in = {0}, out;
  if (!next || !callback) return DCGM_ST_BADPARAM;
  put32(&in, (uint32_t)group);
  put32(&in, (uint32_t)fields);
  put64(&in, (uint64_t)since);
  dcgmReturn_t ret = ask(handle, "dcgmGetValuesSince_v2", &in, &out);
  struct both {
    dcgmFieldValue_v2 v2;
    dcgmFieldValue_v1 v1;
  } *v = ret == DCGM_ST_OK ? malloc(sizeof *v) : NULL;
  if (ret == DCGM_ST_OK && !v) ret = DCGM_ST_MEMORY;
  if (ret == DCGM_ST_OK) {
    *next = (long long)get64(&out);
    for (unsigned n = get32(&out); n > 0; n--) {
      next_value(&out, &v->v2);
      as_v1(&v->v2, &v->v1);
      if (callback(v->v2.entityGroupId, v->v2.entityId, &v->v1, 1, user) != 0) break;
    }
  }
  free(v);
  free(out.data);
  return ret;
}
