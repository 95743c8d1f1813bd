package dcgm

import (
	"fmt"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// profiling is what DCGM reads past NVML: means over the time between two samples, and sums. It is there before Hopper too.
func profiling() []Field {
	ratio := func(id uint16, tag string, pick func(s model.Sums) float64) Field {
		return Field{ID: id, Tag: tag, Type: Double, Level: Compute, mean: func(a, b model.Sums) Value {
			return Value{Type: Double, Float: (pick(b) - pick(a)) / (b.Seconds - a.Seconds) / 100}
		}}
	}
	rate := func(id uint16, tag string, unit float64, pick func(s model.Sums) float64) Field {
		return Field{ID: id, Tag: tag, Type: Int, Level: GPU, mean: func(a, b model.Sums) Value {
			return Value{Type: Int, Int: int64((pick(b) - pick(a)) / (b.Seconds - a.Seconds) / unit)}
		}}
	}
	total := func(id uint16, tag string, pick func(s model.Sums) float64) Field {
		return Field{ID: id, Tag: tag, Type: Int, Level: GPU, read: func(p probe) (Value, model.Return) {
			s, r := p.sums()
			return Value{Type: Int, Int: int64(pick(s))}, r
		}}
	}
	cycles := func(id uint16, tag string, percentSeconds func(s model.Sums) float64) Field {
		return total(id, tag, func(s model.Sums) float64 { return percentSeconds(s) / 100 * s.CycleHz })
	}
	none := func(model.Sums) float64 { return 0 }
	tensor := func(s model.Sums) float64 { return s.Tensor }
	both := func(s model.Sums) float64 { return s.NVLinkTx + s.NVLinkRx }
	out := []Field{
		rate(449, "nvlink_bandwidth_total", 1e6, both), rate(843, "nvlink_tx_bandwidth_total", 1e6, func(s model.Sums) float64 { return s.NVLinkTx }),
		rate(897, "nvlink_rx_bandwidth_total", 1e6, func(s model.Sums) float64 { return s.NVLinkRx }),
		ratio(1001, "gr_engine_active", func(s model.Sums) float64 { return s.Graphics }), ratio(1002, "sm_active", func(s model.Sums) float64 { return s.SM }),
		ratio(1003, "sm_occupancy", func(s model.Sums) float64 { return s.Occupancy }), ratio(1004, "tensor_active", tensor),
		ratio(1005, "dram_active", func(s model.Sums) float64 { return s.DRAM }).at(Instance),
		ratio(1006, "fp64_active", func(s model.Sums) float64 { return s.FP64 }), ratio(1007, "fp32_active", func(s model.Sums) float64 { return s.FP32 }),
		ratio(1008, "fp16_active", func(s model.Sums) float64 { return s.FP16 }),
		rate(1009, "pcie_tx_bytes", 1, func(s model.Sums) float64 { return s.PCIeTx }), rate(1010, "pcie_rx_bytes", 1, func(s model.Sums) float64 { return s.PCIeRx }),
		rate(1011, "nvlink_tx_bytes", 1, func(s model.Sums) float64 { return s.NVLinkTx }), rate(1012, "nvlink_rx_bytes", 1, func(s model.Sums) float64 { return s.NVLinkRx }),
		ratio(1013, "tensor_imma_active", none), ratio(1014, "tensor_hmma_active", tensor), ratio(1015, "tensor_dfma_active", none),
		ratio(1016, "integer_active", func(s model.Sums) float64 { return s.Integer }),
		total(1084, "sm_cycles_elapsed_total", func(s model.Sums) float64 { return s.Seconds * s.CycleHz }),
		cycles(1085, "sm_cycles_active_total", func(s model.Sums) float64 { return s.SM }), cycles(1086, "mma_cycles_active_total", tensor),
		cycles(1087, "dmma_cycles_active_total", none), cycles(1088, "hmma_cycles_active_total", tensor), cycles(1089, "imma_cycles_active_total", none),
		cycles(1090, "dfma_cycles_active_total", none), total(1091, "pcie_tx_bytes_total", func(s model.Sums) float64 { return s.PCIeTx }),
		total(1092, "pcie_rx_bytes_total", func(s model.Sums) float64 { return s.PCIeRx }),
		cycles(1093, "int_cycles_active_total", func(s model.Sums) float64 { return s.Integer }), cycles(1094, "fp64_cycles_active_total", func(s model.Sums) float64 { return s.FP64 }),
		cycles(1095, "fp32_cycles_active_total", func(s model.Sums) float64 { return s.FP32 }), cycles(1096, "fp16_cycles_active_total", func(s model.Sums) float64 { return s.FP16 }),
	}
	for link := range uint16(6) {
		out = append(out, rate(firstLink+link, fmt.Sprintf("nvlink_bandwidth_l%d", link), 1e6, func(s model.Sums) float64 { return both(s) / float64(max(s.Links, 1)) }))
	}
	for _, f := range []Field{
		rate(1529, "nvlink_throughput_per_link", 1e6, both), rate(1530, "nvlink_tx_throughput_per_link", 1e6, func(s model.Sums) float64 { return s.NVLinkTx }),
		rate(1531, "nvlink_rx_throughput_per_link", 1e6, func(s model.Sums) float64 { return s.NVLinkRx }),
		rate(1532, "nvlink_tx_bytes_per_link", 1, func(s model.Sums) float64 { return s.NVLinkTx }), rate(1533, "nvlink_rx_bytes_per_link", 1, func(s model.Sums) float64 { return s.NVLinkRx }),
	} {
		whole := f.mean
		f.mean = func(a, b model.Sums) Value {
			v := whole(a, b)
			v.Int /= int64(max(b.Links, 1))
			return v
		}
		out = append(out, f.at(Link))
	}
	return out
}

// firstLink is the traffic of link 0.
const firstLink = 440

// sums are the hardware's counters of the entity.
func (p probe) sums() (model.Sums, model.Return) {
	return p.c().ProfilingSums(p.ctx(), p.dev, p.entity.gi, p.entity.ci)
}

// MetricGroups are the sets of profiling fields of one GPU that can be watched together: those of one major id exclude each other.
func MetricGroups(gpm bool) [][]uint16 {
	if gpm {
		return [][]uint16{{1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 1015, 1016}}
	}
	return [][]uint16{{1002, 1003, 1004, 1013, 1014, 1015, 1006}, {1002, 1003, 1007, 1008, 1016}, {1001}, {1005}, {1009, 1010}, {1011, 1012}}
}
