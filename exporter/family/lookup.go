package family

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"

	"github.com/gpulet/gpulet/gpu"
)

//go:embed upstream.txt
var upstream string

// Lookup finds a field by any name that NVIDIA gave it: classic, later, or of dcgm-exporter 1.x. A field outside the table has
// only what its name tells: it is of the whole GPU, and DCGM alone has it.
func Lookup(name string) (Family, bool) {
	e, ok := newIndex()[name]
	return e.Family, ok && e.of == ""
}

// known is what a name stands for.
type known struct {
	Family
	// of says of what the field is, when that is nothing that gpulet measures.
	of string
	// outside the table: what its values are is not known.
	outside bool
}

// index are the names of all fields.
type index map[string]known

func newIndex() index {
	out := index{}
	byField := map[gpu.Field]Family{}
	for _, f := range Table() {
		byField[f.Field] = f
	}
	for line := range strings.Lines(upstream) {
		number, names, ok := strings.Cut(strings.TrimSpace(line), " ")
		id, err := strconv.ParseUint(number, 10, 16)
		if !ok || err != nil {
			continue
		}
		all := strings.Fields(names)
		f, inside := byField[gpu.Field(id)]
		if !inside {
			f = plain(gpu.Field(id), all)
		}
		for _, n := range all {
			out[n] = known{Family: f, of: foreign(f), outside: !inside}
		}
	}
	// The base-unit twins have numbers of their own in DCGM; here they are the later names of the fields that they repeat.
	for _, f := range byField {
		out[f.Classic], out[f.Later] = known{Family: f}, known{Family: f}
	}
	return out
}

// plain is a field outside the table. Today's name comes first, the one before it second.
func plain(field gpu.Field, names []string) Family {
	classic := names[0]
	if len(names) > 1 && strings.HasPrefix(names[1], "DCGM_") {
		classic = names[1]
	}
	return Family{Field: field, Classic: classic, Later: names[0], Type: Gauge, Scale: 1, Loop: Slow, Help: "DCGM's field " + strconv.Itoa(int(field))}
}

// foreign says of what a field is when it is neither of a GPU nor of a GPU instance.
func foreign(f Family) string {
	has := func(part string) bool { return strings.Contains(f.Later, part) }
	switch id := f.Field; {
	case id >= 700 && id < 900 && (has("NVSWITCH") || has("SXID")):
		return "NVSwitches"
	case id >= 1100 && id < 1200:
		return "CPUs"
	case id >= 1300 && id < 1400:
		return "network adapters"
	case id >= 501 && id <= 570 && id != 526:
		return "vGPUs"
	case has("_PER_LINK") || has("_PPCNT_") || id == 1508:
		return "single NVLinks"
	}
	return ""
}

// nearest is the known name that a typing error away from got; empty when none is near.
func (x index) nearest(got string) string {
	best, least := "", 4
	for name := range x {
		if d := distance(strings.ToUpper(got), strings.ToUpper(name), least+1); d < least || d == least && best != "" && name < best {
			best, least = name, d
		}
	}
	return best
}

// distance is the number of letters to put in, take out or change, at most limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
		if slices.Min(row) >= limit {
			return limit
		}
	}
	return min(row[len(b)], limit)
}
