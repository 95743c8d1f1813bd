package family

import (
	"cmp"
	"slices"

	"github.com/gpulet/gpulet/gpu"
)

// row is a Family before its names have their prefix and its unit its base.
type row struct {
	field gpu.Field
	// classic and later are without DCGM_FI_; an empty later is classic.
	classic, later string
	kind           Type
	unit           string
	// base: the dcgm47 profile has it in the base unit.
	base  bool
	level Level
	loop  Loop
	nvml  string
	on    bool
	// guess: NVIDIA's later name could not be confirmed.
	guess bool
	help  string
}

// Table lists the DCGM fields that gpulet knows, by their number. Names and units are those of the headers of DCGM 4.5 (classic)
// and 4.6.1; for what only DCGM 4.7 renames, see Family.Guess.
func Table() []Family {
	rows := slices.Concat(identity(), clocks(), power(), links(), utilization(), throttling(), memory(), errorCounts(), profiling(), cycles())
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.field, b.field) })
	out := make([]Family, len(rows))
	for i, r := range rows {
		f := Family{
			Field: r.field, Classic: "DCGM_FI_" + r.classic, Later: "DCGM_FI_" + cmp.Or(r.later, r.classic), Type: r.kind,
			Unit: r.unit, LaterUnit: r.unit, Scale: 1, Level: r.level, Loop: r.loop, NVML: r.nvml, Default: r.on, Guess: r.guess, Help: r.help,
		}
		if r.base {
			f.LaterUnit, f.Scale = base(r.unit)
		}
		out[i] = f
	}
	return out
}

// base is the base unit of a classic one, and what a value is multiplied by.
func base(unit string) (string, float64) {
	switch unit {
	case "MHz":
		return "Hz", 1e6
	case "mJ":
		return "J", 1e-3
	case "%":
		return "ratio", 1e-2
	case "MiB":
		return "bytes", 1 << 20
	case "MB/s":
		return "B/s", 1e6
	}
	return unit, 1
}

// Defaults are the fields that dcgm-exporter exports unless a collectors file says otherwise.
func Defaults() []Selected {
	var out []Selected
	for _, f := range Table() {
		if f.Default {
			out = append(out, f.selected())
		}
	}
	return out
}

func (f Family) selected() Selected { return Selected{Family: f, Type: f.Type, Help: f.Help} }

// HelpIn is the help of the family under its classic or its later name. The table's texts get the unit; a collectors file's stay.
func (s Selected) HelpIn(later bool) string {
	unit := s.Unit
	if later {
		unit = s.LaterUnit
	}
	if s.Help != s.Family.Help {
		return s.Help
	}
	switch unit {
	case "", "rows", "pages", "cycles": // the text says so
		return s.Help
	case "ratio":
		return s.Help + ", 0 to 1"
	default:
		return s.Help + ", in " + unit
	}
}
