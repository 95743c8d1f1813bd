package dcgm

import "github.com/gpulet/gpulet/test/gpusim/model"

const mebi = 1 << 20

func usage() []Field {
	util := func(id uint16, tag string, f func(p probe) (uint32, model.Return)) Field { return integer(id, tag, f) }
	memory := func(id uint16, tag string, pick func(m model.MemoryInfo) uint64) Field {
		return integer(id, tag, func(p probe) (uint64, model.Return) {
			m, r := p.memory()
			return pick(m) / mebi, r
		}).at(Compute)
	}
	return []Field{
		integer(200, "pcie_tx_throughput", func(p probe) (uint32, model.Return) { return p.c().DeviceGetPcieThroughput(p.ctx(), p.dev, 0) }),
		integer(201, "pcie_rx_throughput", func(p probe) (uint32, model.Return) { return p.c().DeviceGetPcieThroughput(p.ctx(), p.dev, 1) }),
		integer(202, "pcie_replay_counter", func(p probe) (uint32, model.Return) { return p.c().DeviceGetPcieReplayCounter(p.ctx(), p.dev) }),
		util(203, "gpu_utilization", func(p probe) (uint32, model.Return) {
			u, r := p.c().DeviceGetUtilizationRates(p.ctx(), p.dev)
			return u.GPU, r
		}),
		util(204, "mem_copy_utilization", func(p probe) (uint32, model.Return) {
			u, r := p.c().DeviceGetUtilizationRates(p.ctx(), p.dev)
			return u.Memory, r
		}),
		util(206, "enc_utilization", func(p probe) (uint32, model.Return) {
			u, _, r := p.c().DeviceGetEncoderUtilization(p.ctx(), p.dev)
			return u, r
		}),
		util(207, "dec_utilization", func(p probe) (uint32, model.Return) {
			u, _, r := p.c().DeviceGetDecoderUtilization(p.ctx(), p.dev)
			return u, r
		}),
		integer(235, "pcie_max_link_gen", func(p probe) (uint32, model.Return) { return p.c().DeviceGetMaxPcieLinkGeneration(p.ctx(), p.dev) }),
		integer(236, "pcie_max_link_width", func(p probe) (uint32, model.Return) { return p.c().DeviceGetMaxPcieLinkWidth(p.ctx(), p.dev) }),
		integer(237, "pcie_link_gen", func(p probe) (uint32, model.Return) { return p.c().DeviceGetCurrPcieLinkGeneration(p.ctx(), p.dev) }),
		integer(238, "pcie_link_width", func(p probe) (uint32, model.Return) { return p.c().DeviceGetCurrPcieLinkWidth(p.ctx(), p.dev) }),
		memory(250, "fb_total", func(m model.MemoryInfo) uint64 { return m.Total }), memory(251, "fb_free", func(m model.MemoryInfo) uint64 { return m.Free }),
		memory(252, "fb_used", func(m model.MemoryInfo) uint64 { return m.Used }), memory(253, "fb_reserved", func(m model.MemoryInfo) uint64 { return m.Reserved }),
		double(254, "fb_used_percent", func(p probe) (float64, model.Return) {
			m, r := p.memory()
			if r != model.Success {
				return 0, r
			}
			return float64(m.Used) / float64(m.Total-m.Reserved), r
		}).at(Compute),
	}
}

// mig is the device itself or, of an instance, its MIG device.
func (p probe) mig() (model.Device, model.Return) {
	switch {
	case p.entity.group == GPU:
		return p.dev, model.Success
	case p.entity.uuid == "":
		return 0, model.NotFound
	}
	return p.c().DeviceGetHandleByUUID(p.ctx(), p.entity.uuid)
}

func (p probe) memory() (m model.MemoryInfo, r model.Return) {
	d, r := p.mig()
	if r != model.Success {
		return m, r
	}
	return p.c().DeviceGetMemoryInfoV2(p.ctx(), d)
}

// fi is one of NVML's own fields.
func (p probe) fi(id, scope uint32) (int64, model.Return) {
	out, r := p.c().DeviceGetFieldValues(p.ctx(), p.dev, []model.FieldValue{{FieldID: id, ScopeID: scope}})
	if r != model.Success {
		return 0, r
	}
	if out[0].ValueType == model.ValueSignedInt {
		return int64(int32(uint32(out[0].Bits))), out[0].Return
	}
	return int64(out[0].Bits), out[0].Return
}

func fi(id uint16, tag string, nvml uint32) Field {
	return integer(id, tag, func(p probe) (int64, model.Return) { return p.fi(nvml, 0) })
}

func health() []Field {
	ecc := func(id uint16, tag string, uncorrected, aggregate bool) Field {
		return integer(id, tag, func(p probe) (uint64, model.Return) {
			return p.c().DeviceGetTotalEccErrors(p.ctx(), p.dev, uncorrected, aggregate)
		})
	}
	fabric := func(id uint16, tag string, version int, pick func(f model.FabricInfo) uint32) Field {
		return integer(id, tag, func(p probe) (uint32, model.Return) {
			f, r := p.c().DeviceGetGpuFabricInfoV(p.ctx(), p.dev, version)
			return pick(f), r
		})
	}
	banks := func(id uint16, tag string, pick func(h model.RowRemapperHistogram) uint32) Field {
		return integer(id, "banks_remap_rows_avail_"+tag, func(p probe) (uint32, model.Return) {
			h, r := p.c().DeviceGetRowRemapperHistogram(p.ctx(), p.dev)
			return pick(h), r
		})
	}
	pages := func(id uint16, tag string, cause uint32) Field {
		return integer(id, tag, func(p probe) (int, model.Return) {
			list, r := p.c().DeviceGetRetiredPages(p.ctx(), p.dev, cause)
			return len(list), r
		})
	}
	return []Field{
		{ID: 230, Tag: "xid_errors", Type: Int, Level: Compute},
		fabric(170, "fabric_manager_status", 2, func(f model.FabricInfo) uint32 { return uint32(f.State) }),
		fabric(171, "fabric_manager_error", 2, func(f model.FabricInfo) uint32 { return uint32(f.Status) }),
		fabric(174, "fabric_health_mask", 2, func(f model.FabricInfo) uint32 { return f.HealthMask }),
		fabric(175, "fabric_health_summary", 3, func(f model.FabricInfo) uint32 { return uint32(f.HealthSummary) }),
		fi(240, "power_violation", 74), fi(241, "thermal_violation", 75), fi(242, "sync_boost_violation", 76), fi(243, "board_limit_violation", 77),
		fi(244, "low_util_violation", 78), fi(245, "reliability_violation", 79), fi(246, "app_clock_violation", 80), fi(247, "base_clock_violation", 81),
		flag(300, "ecc", func(p probe) (bool, model.Return) {
			on, _, r := p.c().DeviceGetEccMode(p.ctx(), p.dev)
			return on, r
		}),
		flag(301, "ecc_pending", func(p probe) (bool, model.Return) {
			_, pending, r := p.c().DeviceGetEccMode(p.ctx(), p.dev)
			return pending, r
		}),
		ecc(310, "ecc_sbe_volatile_total", false, false), ecc(311, "ecc_dbe_volatile_total", true, false),
		ecc(312, "ecc_sbe_aggregate_total", false, true), ecc(313, "ecc_dbe_aggregate_total", true, true),
		flag(346, "threshold_srm", func(p probe) (bool, model.Return) {
			s, r := p.c().DeviceGetSramEccErrorStatus(p.ctx(), p.dev)
			return s.ThresholdExceeded, r
		}),
		banks(385, "max", func(h model.RowRemapperHistogram) uint32 { return h.Max }), banks(386, "high", func(h model.RowRemapperHistogram) uint32 { return h.High }),
		banks(387, "partial", func(h model.RowRemapperHistogram) uint32 { return h.Partial }), banks(388, "low", func(h model.RowRemapperHistogram) uint32 { return h.Low }),
		banks(389, "none", func(h model.RowRemapperHistogram) uint32 { return h.None }),
		pages(390, "retired_pages_sbe", 0), pages(391, "retired_pages_dbe", 1),
		flag(392, "retired_pages_pending", func(p probe) (bool, model.Return) {
			return p.c().DeviceGetRetiredPagesPendingStatus(p.ctx(), p.dev)
		}),
		fi(393, "uncorrectable_remapped_rows", 143), fi(394, "correctable_remapped_rows", 142), fi(395, "row_remap_failure", 145), fi(396, "row_remap_pending", 144),
		fi(1420, "clocks_event_reason_sw_power_cap_ns", 74), fi(1421, "clocks_event_reason_sync_boost_ns", 76),
		fi(1422, "clocks_event_reason_sw_therm_slowdown_ns", 269), fi(1423, "clocks_event_reason_hw_therm_slowdown_ns", 270),
		fi(1424, "clocks_event_reason_hw_power_brake_slowdown_ns", 271),
		integer(1501, "pcie_correctable_errors", func(probe) (int, model.Return) { return 0, model.Success }),
		integer(1507, "memory_unrepairable_flag", func(probe) (int, model.Return) { return 0, model.Success }),
		fi(1523, "get_gpu_recovery_action", 230),
	}
}

func links() []Field {
	perLink := func(f Field) Field { return f.at(Link) }
	counter := func(id uint16, tag string, which uint32) Field {
		return perLink(integer(id, tag, func(p probe) (uint64, model.Return) {
			return p.c().DeviceGetNvLinkErrorCounter(p.ctx(), p.dev, p.entity.link, which)
		}))
	}
	return []Field{
		fi(409, "nvlink_flit_crc_error_count_total", 38), fi(419, "nvlink_data_crc_error_count_total", 45),
		fi(429, "nvlink_replay_error_count_total", 52), fi(439, "nvlink_recovery_error_count_total", 59),
		perLink(integer(1508, "nvlink_get_state", func(p probe) (int, model.Return) {
			up, r := p.c().DeviceGetNvLinkState(p.ctx(), p.dev, p.entity.link)
			return map[bool]int{true: 3, false: 2}[up], r
		})),
		counter(1525, "nvlink_crc_flit_error_per_link", 2), counter(1526, "nvlink_crc_data_error_per_link", 3),
		counter(1527, "nvlink_replay_error_per_link", 0), counter(1528, "nvlink_recovery_error_per_link", 1),
	}
}
