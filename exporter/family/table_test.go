package family_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/gpu"
)

// The fields that dcgm-exporter exports by default are ours by default, with its types.
func TestDefaults(t *testing.T) {
	want := map[string]family.Type{}
	for kind, names := range map[family.Type]string{
		family.Gauge: `DEV_SM_CLOCK DEV_MEM_CLOCK DEV_MEMORY_TEMP DEV_GPU_TEMP DEV_POWER_USAGE DEV_GPU_UTIL DEV_MEM_COPY_UTIL DEV_ENC_UTIL DEV_DEC_UTIL
			DEV_XID_ERRORS DEV_FB_FREE DEV_FB_USED DEV_FB_RESERVED DEV_VGPU_LICENSE_STATUS DEV_ROW_REMAP_FAILURE PROF_GR_ENGINE_ACTIVE
			PROF_PIPE_TENSOR_ACTIVE PROF_DRAM_ACTIVE PROF_PCIE_TX_BYTES PROF_PCIE_RX_BYTES`,
		family.Counter: `DEV_TOTAL_ENERGY_CONSUMPTION DEV_PCIE_REPLAY_COUNTER DEV_NVLINK_BANDWIDTH_TOTAL DEV_UNCORRECTABLE_REMAPPED_ROWS
			DEV_CORRECTABLE_REMAPPED_ROWS`,
		family.Label: "DRIVER_VERSION",
	} {
		for _, n := range strings.Fields(names) {
			want["DCGM_FI_"+n] = kind
		}
	}
	got := map[string]family.Type{}
	for _, s := range family.Defaults() {
		got[s.Classic] = s.Type
	}
	for n, kind := range want {
		if got[n] != kind {
			t.Errorf("%s is %q by default, want %q", n, got[n], kind)
		}
		delete(got, n)
	}
	if len(got) != 0 {
		t.Errorf("more by default: %v", got)
	}
}

// Each field is there once, under names that NVIDIA has for its number, and no two fields share a name.
func TestTableAgreesWithDCGM(t *testing.T) {
	fields, names := map[gpu.Field]bool{}, map[string]gpu.Field{}
	for _, f := range family.Table() {
		if fields[f.Field] {
			t.Errorf("field %d is there twice", f.Field)
		}
		fields[f.Field] = true
		for _, n := range slices.Compact([]string{f.Classic, f.Later}) {
			if other, taken := names[n]; taken {
				t.Errorf("%s is %d and %d", n, other, f.Field)
			}
			names[n] = f.Field
			if got, ok := family.Lookup(n); !ok || got != f {
				t.Errorf("%s is found as %+v, %t", n, got, ok)
			}
		}
		numbers := family.Numbers()
		if numbers[f.Classic] != f.Field {
			t.Errorf("DCGM has %s as %d, the table as %d", f.Classic, numbers[f.Classic], f.Field)
		}
		// The base-unit twins are fields of their own, from 1600 on.
		known := numbers[f.Later] == f.Field || f.Scale != 1 && numbers[f.Later] >= 1600
		if !known && !f.Guess && f.Later != "DCGM_FI_DEV_FB_CAPACITY_BYTES" {
			t.Errorf("DCGM does not know %s", f.Later)
		}
		if f.Help == "" || f.Type == family.Label && f.Unit != "" {
			t.Errorf("%s: %+v", f.Classic, f)
		}
	}
}

// A value under the later name is the classic one in the base unit, as dcgm-exporter 4.9 has it: 11 of the default fields change.
func TestBaseUnits(t *testing.T) {
	changed := map[string]float64{}
	for _, s := range family.Defaults() {
		if s.Unit != s.LaterUnit {
			changed[s.Classic] = s.Scale
		} else if s.Scale != 1 {
			t.Errorf("%s keeps its unit and is scaled by %v", s.Classic, s.Scale)
		}
	}
	if len(changed) != 11 {
		t.Errorf("%d default fields change their unit, want 11: %v", len(changed), changed)
	}
	for name, scale := range map[string]float64{
		"DCGM_FI_DEV_SM_CLOCK": 1e6, "DCGM_FI_DEV_GPU_UTIL": 0.01, "DCGM_FI_DEV_FB_USED": 1 << 20, "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": 1e-3,
	} {
		if changed[name] != scale {
			t.Errorf("%s is scaled by %v, want %v", name, changed[name], scale)
		}
	}
}

// Help names the unit of the name under which the value is exported; a collectors file's help stays as it is.
func TestHelpIn(t *testing.T) {
	f, _ := family.Lookup("DCGM_FI_DEV_SM_CLOCK")
	s := family.Selected{Family: f, Type: f.Type, Help: f.Help}
	if got := s.HelpIn(false); !strings.HasSuffix(got, ", in MHz") {
		t.Errorf("classic: %s", got)
	}
	if got := s.HelpIn(true); !strings.HasSuffix(got, ", in Hz") {
		t.Errorf("later: %s", got)
	}
	f, _ = family.Lookup("DCGM_FI_DEV_GPU_UTIL")
	util := family.Selected{Family: f, Type: f.Type, Help: f.Help}
	if classic, later := util.HelpIn(false), util.HelpIn(true); !strings.HasSuffix(classic, ", in %") || !strings.HasSuffix(later, ", 0 to 1") {
		t.Errorf("of a ratio: %q and %q", classic, later)
	}
	s.Help = "mine"
	if got := s.HelpIn(true); got != "mine" {
		t.Errorf("own: %s", got)
	}
}

func TestLookup(t *testing.T) {
	for name, field := range map[string]gpu.Field{
		"DCGM_FI_DEV_GPU_UTIL": 203, "DCGM_FI_DEV_GPU_UTIL_RATIO": 203, "dcgm_gpu_utilization": 203,
		"DCGM_FI_DEV_CLOCK_THROTTLE_REASONS": 112, "DCGM_FI_DEV_SM_CLOCK_HERTZ": 100, "DCGM_FI_DEV_C2C_LINK_COUNT": 285,
	} {
		if f, ok := family.Lookup(name); !ok || f.Field != field {
			t.Errorf("%s: %d, %t, want %d", name, f.Field, ok, field)
		}
	}
	for _, name := range []string{"", "DCGM_FI_DEV_NVSWITCH_PHYS_ID", "gpu_up"} {
		if f, ok := family.Lookup(name); ok {
			t.Errorf("%q is found as %+v", name, f)
		}
	}
}

// Every reason for throttling is counted by fields of the table.
func TestThrottlesAreKnown(t *testing.T) {
	var all []gpu.Field
	for _, f := range family.Table() {
		if f.Unit == "ns" {
			all = append(all, f.Field)
		}
	}
	for _, r := range family.Throttles() {
		for _, f := range slices.Concat(r.Fields, r.Unless) {
			if !slices.Contains(all, f) {
				t.Errorf("%s counts field %d, which is not in ns in the table", r.Reason, f)
			}
		}
	}
}
