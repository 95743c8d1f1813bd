package abi

import "github.com/gpulet/gpulet/test/gpusim/model"

// measures are utilisation, power, temperature, fans and field values.
func measures() map[string]Handler {
	fan := by(client.DeviceGetFanSpeedV2)
	engine := two[uint32, uint32]
	threes := func(f func(client, ctxt, dev) (a, b, c uint32, r ret), lay func(k *Call, a, b, c uint32)) Handler {
		return func(k *Call) ret {
			a, b, c, r := f(k.Client, k.ctx, k.device(0))
			if r == model.Success {
				lay(k, a, b, c)
			}
			return r
		}
	}
	return map[string]Handler{
		"nvmlDeviceGetUtilizationRates":   one(client.DeviceGetUtilizationRates),
		"nvmlDeviceGetEncoderUtilization": engine(client.DeviceGetEncoderUtilization),
		"nvmlDeviceGetDecoderUtilization": engine(client.DeviceGetDecoderUtilization),
		"nvmlDeviceGetJpgUtilization":     engine(client.DeviceGetJpgUtilization),
		"nvmlDeviceGetOfaUtilization":     engine(client.DeviceGetOfaUtilization),
		"nvmlDeviceGetEncoderCapacity":    by(client.DeviceGetEncoderCapacity),
		"nvmlDeviceGetEncoderStats": threes(client.DeviceGetEncoderStats, func(k *Call, a, b, c uint32) {
			k.put(1, a)
			k.put(2, b)
			k.put(3, c)
		}),
		"nvmlDeviceGetFBCStats":        threes(client.DeviceGetFBCStats, func(k *Call, a, b, c uint32) { k.put(1, raw{}.u32(a, b, c)) }),
		"nvmlDeviceGetSamples":         samples,
		"nvmlDeviceGetViolationStatus": by(client.DeviceGetViolationStatus),
		"nvmlDeviceGetFieldValues":     fields,

		"nvmlDeviceGetPowerUsage":                      one(client.DeviceGetPowerUsage),
		"nvmlDeviceGetPowerManagementMode":             one(client.DeviceGetPowerManagementMode),
		"nvmlDeviceGetPowerManagementLimit":            one(client.DeviceGetPowerManagementLimit),
		"nvmlDeviceGetPowerManagementLimitConstraints": two(client.DeviceGetPowerManagementLimitConstraints),
		"nvmlDeviceGetPowerManagementDefaultLimit":     one(client.DeviceGetPowerManagementDefaultLimit),
		"nvmlDeviceGetEnforcedPowerLimit":              one(client.DeviceGetEnforcedPowerLimit),
		"nvmlDeviceSetPowerManagementLimit":            set(client.DeviceSetPowerManagementLimit),
		"nvmlDeviceSetPowerManagementLimit_v2": func(k *Call) ret {
			if k.version(1, 0, 12) == 0 {
				return k.mismatch()
			}
			return k.Client.DeviceSetPowerManagementLimit(k.ctx, k.device(0), le32(k.in(1, 12)[8:]))
		},
		"nvmlDeviceGetPowerSource":            one(client.DeviceGetPowerSource),
		"nvmlDeviceGetTotalEnergyConsumption": one(client.DeviceGetTotalEnergyConsumption),

		"nvmlDeviceGetTemperature":          by(client.DeviceGetTemperature),
		"nvmlDeviceGetTemperatureThreshold": by(client.DeviceGetTemperatureThreshold),
		"nvmlDeviceGetMarginTemperature":    versioned(8, client.DeviceGetMarginTemperature, func(t int32) raw { return raw{}.u32(uint32(t)) }),
		"nvmlDeviceGetTemperatureV": func(k *Call) ret {
			if k.version(1, 12) == 0 {
				return k.mismatch()
			}
			sensor := le32(k.in(1, 12)[4:])
			t, r := k.Client.DeviceGetTemperature(k.ctx, k.device(0), sensor)
			k.put(1, raw{}.u32(k.u32(1), sensor, uint32(t)))
			return r
		},
		"nvmlDeviceGetThermalSettings": by(client.DeviceGetThermalSettings),
		"nvmlDeviceGetNumFans":         one(client.DeviceGetNumFans),
		"nvmlDeviceGetFanSpeed":        one(client.DeviceGetFanSpeed),
		"nvmlDeviceGetFanSpeed_v2":     fan,
	}
}

// samples: NULL asks how many there can be.
func samples(k *Call) ret {
	items, r := k.Client.DeviceGetSamples(k.ctx, k.device(0), k.u32(1), k.u64(2))
	if r != model.Success {
		return r
	}
	k.put(3, uint32(model.ValueUnsignedInt))
	room := int(k.u32(4))
	switch {
	case k.arg(5).Null:
	case room == 0:
		return model.InvalidArgument
	case room < len(items):
		items = items[len(items)-room:]
	}
	return fill(k, items, r, 4, 5)
}

// fields: argument 1 is the count, 2 the array.
func fields(k *Call) ret {
	const size = 40
	count := int(int32(k.u32(1)))
	if count <= 0 || count > 1<<16 {
		return k.invalid()
	}
	b := k.in(2, count*size)
	values := make([]model.FieldValue, count)
	for i := range values {
		values[i] = model.FieldValue{FieldID: le32(b[i*size:]), ScopeID: le32(b[i*size+4:])}
	}
	out, r := k.Client.DeviceGetFieldValues(k.ctx, k.device(0), values)
	if r != model.Success {
		return r
	}
	return write(k, out, 2)
}

// invalid is InvalidArgument once the session is known to be good.
func (k *Call) invalid() ret {
	if _, r := k.Client.SystemGetDriverVersion(k.ctx); r != model.Success {
		return r
	}
	return model.InvalidArgument
}

// gpm are the performance metrics of Hopper and later.
func gpm() map[string]Handler {
	return map[string]Handler{
		"nvmlGpmQueryDeviceSupport": func(k *Call) ret {
			if k.u32(1) != 1 { // NVML_GPM_SUPPORT_VERSION is a plain number
				return k.mismatch()
			}
			on, r := k.Client.GpmQueryDeviceSupport(k.ctx, k.device(0))
			k.put(1, raw{}.u32(1, bit(on)))
			return r
		},
		"nvmlGpmQueryIfStreamingEnabled": one(client.GpmQueryIfStreamingEnabled),
		"nvmlGpmSetStreamingEnabled":     flag(client.GpmSetStreamingEnabled),
		"nvmlGpmSampleAlloc":             global(client.GpmSampleAlloc),
		"nvmlGpmSampleFree":              func(k *Call) ret { return k.Client.GpmSampleFree(k.ctx, k.sample(k.u64(0))) },
		"nvmlGpmSampleGet":               func(k *Call) ret { return k.Client.GpmSampleGet(k.ctx, k.device(0), k.sample(k.u64(1))) },
		"nvmlGpmMigSampleGet": func(k *Call) ret {
			return k.Client.GpmMigSampleGet(k.ctx, k.device(0), k.u32(1), k.sample(k.u64(2)))
		},
		"nvmlGpmMetricsGet": metrics,
	}
}

func (k *Call) sample(address uint64) model.GpmSample { return model.GpmSample(k.handle(address)) }

// metrics: version, count, two samples, then the metrics of 40 bytes each, with pointers to three strings.
func metrics(k *Call) ret {
	const head, size = 24, 40
	b := k.in(0, head)
	if le32(b) != 1 { // NVML_GPM_METRICS_GET_VERSION is a plain number
		return k.mismatch()
	}
	count := int(le32(b[4:]))
	if len(b) < head+count*size {
		return k.invalid()
	}
	in := make([]model.GpmMetric, count)
	for i := range in {
		in[i].ID = le32(b[head+i*size:])
	}
	u64 := func(n int) uint64 { return uint64(le32(b[n:])) | uint64(le32(b[n+4:]))<<32 }
	out, r := k.Client.GpmMetricsGet(k.ctx, k.sample(u64(8)), k.sample(u64(16)), in)
	if r != model.Success {
		return r
	}
	answer := append(raw{}, b[:head]...)
	for _, m := range out {
		answer = answer.u32(m.ID, uint32(m.Return)).u64(bits(m.Value)).u64(k.pointer(m, m.ShortName, 0), k.pointer(m, m.LongName, 48), k.pointer(m, m.Unit, 96))
	}
	k.arg(0).Out = answer
	return r
}

// pointer puts a metric's string into the library's room, where each metric has 128 bytes, and gives its address.
func (k *Call) pointer(m model.GpmMetric, s string, offset uint32) uint64 {
	if s == "" || len(s) > 47 || m.ID >= StringsSize/128 || offset == 96 && len(s) > 31 {
		return 0
	}
	if k.Strings == nil {
		k.Strings = map[uint32][]byte{}
	}
	at := m.ID*128 + offset
	k.Strings[at] = append([]byte(s), 0)
	return k.Base + k.Size + uint64(at)
}
