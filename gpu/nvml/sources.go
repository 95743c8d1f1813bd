package nvml

import (
	"maps"
	"slices"

	nv "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/gpulet/gpulet/gpu"
)

// fieldID is a field of nvmlDeviceGetFieldValues, with its scope: all fields of a GPU come with one call.
type fieldID struct{ id, scope uint32 }

// allLinks is the scope of NVLink fields for the sum over all links.
const allLinks = ^uint32(0)

// source is one way to measure a field: by field values, a query of queries(), or GPM. Its value is times scale.
type source struct {
	fields []fieldID // added up
	rate   bool      // of the fields, per second
	query  string
	part   int // of the query's answer
	gpm    []nv.GpmMetricId
	scale  float64
}

func field(id uint32) source { return source{fields: []fieldID{{id, 0}}, scale: 1} }

// rate is the growth of counters in a second.
func rate(scale float64, ids ...fieldID) source { return source{fields: ids, rate: true, scale: scale} }

func query(name string) source { return source{query: name, scale: 1} }

func part(name string, n int) source { return source{query: name, part: n, scale: 1} }

func gpm(scale float64, ids ...nv.GpmMetricId) source { return source{gpm: ids, scale: scale} }

func (s source) times(scale float64) source {
	s.scale *= scale
	return s
}

const (
	mebi  = 1 << 20
	milli = 1.0 / 1000
	ratio = 1.0 / 100
)

// Fields lists, by their number, the fields that this package measures where GPU and driver have them.
func Fields() []gpu.Field { return slices.Sorted(maps.Keys(sources())) }

// sources says where each field comes from: the first source that a GPU and driver have is taken.
func sources() map[gpu.Field][]source {
	m := map[gpu.Field][]source{}
	for _, part := range []map[gpu.Field][]source{identitySources(), deviceSources(), linkSources(), errorSources(), gpmSources()} {
		maps.Copy(m, part)
	}
	return m
}

func identitySources() map[gpu.Field][]source {
	return map[gpu.Field][]source{
		1:   {query("driver version")},
		2:   {query("NVML version")},
		5:   {query("CUDA version")},
		50:  {query("name")},
		51:  {query("brand")},
		53:  {query("serial")},
		54:  {query("UUID")},
		56:  {query("inforom OEM")},
		57:  {query("PCI address")},
		63:  {query("compute capability")},
		66:  {query("persistence mode")},
		67:  {query("MIG mode")},
		74:  {query("confidential computing")},
		80:  {query("inforom ECC")},
		81:  {query("inforom power")},
		82:  {query("inforom image")},
		85:  {query("VBIOS version")},
		300: {query("ECC mode")},
	}
}

// deviceSources are clocks, temperatures, power, memory, utilization and what held the clocks down.
func deviceSources() map[gpu.Field][]source {
	m := map[gpu.Field][]source{
		90:  {part("BAR1", 0).times(1.0 / mebi)},
		92:  {part("BAR1", 1).times(1.0 / mebi)},
		93:  {part("BAR1", 2).times(1.0 / mebi)},
		100: {query("SM clock")},
		101: {query("memory clock")},
		102: {query("video clock")},
		110: {query("SM application clock")},
		111: {query("memory application clock")},
		112: {query("clock event reasons"), query("clock throttle reasons")},
		113: {query("largest SM clock")},
		114: {query("largest memory clock")},
		140: {field(nv.FI_DEV_MEMORY_TEMP)},
		150: {query("temperature"), query("temperature by sensor")},
		526: {query("vGPU licence")},
		151: {query("memory temperature limit")},
		152: {query("GPU temperature limit")},
		153: {query("temperature margin")},
		// Without the mean of a second there is what the driver calls usage: that, or the momentary power on GA100 and before.
		155: {field(nv.FI_DEV_POWER_AVERAGE).times(milli), field(nv.FI_DEV_POWER_INSTANT).times(milli), query("power").times(milli)},
		156: {field(nv.FI_DEV_TOTAL_ENERGY_CONSUMPTION), query("energy")},
		157: {field(nv.FI_DEV_POWER_INSTANT).times(milli), query("power").times(milli)},
		158: {query("slowdown temperature")},
		159: {query("shutdown temperature")},
		160: {query("power limit").times(milli)},
		161: {field(nv.FI_DEV_POWER_MIN_LIMIT).times(milli), part("power limits", 0).times(milli)},
		162: {field(nv.FI_DEV_POWER_MAX_LIMIT).times(milli), part("power limits", 1).times(milli)},
		163: {field(nv.FI_DEV_POWER_DEFAULT_LIMIT).times(milli), query("default power limit").times(milli)},
		164: {query("enforced power limit").times(milli)},
		190: {query("performance state")},
		191: {query("fan speed")},
		203: {part("utilization", 0)},
		204: {part("utilization", 1)},
		206: {query("encoder utilization")},
		207: {query("decoder utilization")},
		246: {field(nv.FI_DEV_PERF_POLICY_TOTAL_APP_CLOCKS), query("violation 10")},
		247: {field(nv.FI_DEV_PERF_POLICY_TOTAL_BASE_CLOCKS), query("violation 11")},
		254: {part("memory", 4), part("memory v1", 4)},

		1420: {field(nv.FI_DEV_PERF_POLICY_POWER)}, // the same counter has two names
		1421: {field(nv.FI_DEV_PERF_POLICY_SYNC_BOOST)},
		1422: {field(nv.FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN)},
		1423: {field(nv.FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN)},
		1424: {field(nv.FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN)},
	}
	for n := range 4 { // total, free, used, reserved
		m[gpu.Field(250+n)] = []source{part("memory", n).times(1.0 / mebi), part("memory v1", n).times(1.0 / mebi)}
	}
	for n := range uint32(6) { // power, temperature, sync boost, board limit, low utilization, reliability
		m[gpu.Field(240+n)] = []source{field(nv.FI_DEV_PERF_POLICY_POWER + n), query("violation " + itoa(int(n)))}
	}
	return m
}

// linkSources are PCIe, NVLink and the fabric. The driver counts NVLink's bytes in KiB.
func linkSources() map[gpu.Field][]source {
	const kibi = 1 << 10
	sent, received := fieldID{nv.FI_DEV_NVLINK_THROUGHPUT_DATA_TX, allLinks}, fieldID{nv.FI_DEV_NVLINK_THROUGHPUT_DATA_RX, allLinks}
	pcieSent, pcieReceived := fieldID{nv.FI_DEV_PCIE_COUNT_TX_BYTES, 0}, fieldID{nv.FI_DEV_PCIE_COUNT_RX_BYTES, 0}
	return map[gpu.Field][]source{
		170:  {part("fabric", 0), query("fabric state")},
		174:  {part("fabric", 1)},
		175:  {query("fabric health")},
		202:  {field(nv.FI_DEV_PCIE_REPLAY_COUNTER), query("PCIe replays")},
		235:  {query("largest PCIe generation")},
		236:  {query("largest PCIe width")},
		237:  {query("PCIe generation")},
		238:  {query("PCIe width")},
		409:  {field(nv.FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL)},
		419:  {field(nv.FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL)},
		429:  {field(nv.FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL)},
		439:  {field(nv.FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL)},
		449:  {rate(kibi/1e6, sent, received), gpm(mebi/1e6, nv.GPM_METRIC_NVLINK_TOTAL_TX_PER_SEC, nv.GPM_METRIC_NVLINK_TOTAL_RX_PER_SEC)},
		1009: {gpm(mebi, nv.GPM_METRIC_PCIE_TX_PER_SEC), rate(1, pcieSent)},
		1010: {gpm(mebi, nv.GPM_METRIC_PCIE_RX_PER_SEC), rate(1, pcieReceived)},
		1011: {gpm(mebi, nv.GPM_METRIC_NVLINK_TOTAL_TX_PER_SEC), rate(kibi, sent)},
		1012: {gpm(mebi, nv.GPM_METRIC_NVLINK_TOTAL_RX_PER_SEC), rate(kibi, received)},
		1091: {{fields: []fieldID{pcieSent}, scale: 1}, gpm(1, nv.GPM_METRIC_PCIE_TX)},
		1092: {{fields: []fieldID{pcieReceived}, scale: 1}, gpm(1, nv.GPM_METRIC_PCIE_RX)},
	}
}

func errorSources() map[gpu.Field][]source {
	return map[gpu.Field][]source{
		310:  {field(nv.FI_DEV_ECC_SBE_VOL_TOTAL), query("ECC corrected volatile")},
		311:  {field(nv.FI_DEV_ECC_DBE_VOL_TOTAL), query("ECC uncorrected volatile")},
		312:  {field(nv.FI_DEV_ECC_SBE_AGG_TOTAL), query("ECC corrected aggregate")},
		313:  {field(nv.FI_DEV_ECC_DBE_AGG_TOTAL), query("ECC uncorrected aggregate")},
		346:  {query("SRAM threshold")},
		390:  {field(nv.FI_DEV_RETIRED_SBE), query("pages retired for corrected errors")},
		391:  {field(nv.FI_DEV_RETIRED_DBE), query("pages retired for uncorrected errors")},
		392:  {field(nv.FI_DEV_RETIRED_PENDING), query("pages to retire")},
		393:  {field(nv.FI_DEV_REMAPPED_UNC), part("remapped rows", 1)},
		394:  {field(nv.FI_DEV_REMAPPED_COR), part("remapped rows", 0)},
		395:  {field(nv.FI_DEV_REMAPPED_FAILURE), part("remapped rows", 3)},
		396:  {field(nv.FI_DEV_REMAPPED_PENDING), part("remapped rows", 2)},
		1507: {query("unrepairable memory")},
		1523: {field(nv.FI_DEV_GET_GPU_RECOVERY_ACTION)},
	}
}

func gpmSources() map[gpu.Field][]source {
	m := map[gpu.Field][]source{}
	for f, id := range map[gpu.Field]nv.GpmMetricId{
		1001: nv.GPM_METRIC_GRAPHICS_UTIL, 1002: nv.GPM_METRIC_SM_UTIL, 1003: nv.GPM_METRIC_SM_OCCUPANCY, 1004: nv.GPM_METRIC_ANY_TENSOR_UTIL,
		1005: nv.GPM_METRIC_DRAM_BW_UTIL, 1006: nv.GPM_METRIC_FP64_UTIL, 1007: nv.GPM_METRIC_FP32_UTIL, 1008: nv.GPM_METRIC_FP16_UTIL,
		1013: nv.GPM_METRIC_IMMA_TENSOR_UTIL, 1014: nv.GPM_METRIC_HMMA_TENSOR_UTIL, 1015: nv.GPM_METRIC_DFMA_TENSOR_UTIL,
		1016: nv.GPM_METRIC_INTEGER_UTIL,
	} {
		m[f] = []source{gpm(ratio, id)}
	}
	for f, id := range map[gpu.Field]nv.GpmMetricId{
		1084: nv.GPM_METRIC_SM_CYCLES_ELAPSED, 1085: nv.GPM_METRIC_SM_CYCLES_ACTIVE, 1086: nv.GPM_METRIC_MMA_CYCLES_ACTIVE,
		1087: nv.GPM_METRIC_DMMA_CYCLES_ACTIVE, 1088: nv.GPM_METRIC_HMMA_CYCLES_ACTIVE, 1089: nv.GPM_METRIC_IMMA_CYCLES_ACTIVE,
		1090: nv.GPM_METRIC_DFMA_CYCLES_ACTIVE, 1093: nv.GPM_METRIC_INTEGER_CYCLES_ACTIVE, 1094: nv.GPM_METRIC_FP64_CYCLES_ACTIVE,
		1095: nv.GPM_METRIC_FP32_CYCLES_ACTIVE, 1096: nv.GPM_METRIC_FP16_CYCLES_ACTIVE,
	} {
		m[f] = []source{gpm(1, id)}
	}
	return m
}

// ofInstances reports whether a GPU instance has a value of its own by this source.
func (s source) ofInstances() bool {
	switch s.query {
	case "":
		return len(s.gpm) > 0 && s.gpm[0] != nv.GPM_METRIC_PCIE_TX && s.gpm[0] != nv.GPM_METRIC_PCIE_RX &&
			(s.gpm[0] < nv.GPM_METRIC_PCIE_TX_PER_SEC || s.gpm[0] >= nv.GPM_METRIC_SM_CYCLES_ELAPSED)
	case "name", "UUID", "BAR1", "memory", "memory v1":
		return true
	}
	return false
}

// notInMIG reports whether the driver has the source's value outside MIG mode alone.
func (s source) notInMIG() bool {
	return s.query == "utilization" || s.query == "encoder utilization" || s.query == "decoder utilization"
}
