package fleet

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// wireGeometry is the form of a geometry: what planning needs of it.
type wireGeometry struct {
	Axis     int           `json:"axis"`
	Profiles []wireProfile `json:"profiles"`
}

type wireProfile struct {
	Name string `json:"name"`
	ID   uint32 `json:"id"`
	Enum int    `json:"enum"`
	Max  int    `json:"max"`
	// Places are start and size of each placement.
	Places      [][2]int `json:"at"`
	MemoryBytes uint64   `json:"memory,omitempty"`
	SMs         int      `json:"sms,omitempty"`
	// Engines are decoders, encoders, JPEG, OFA.
	Engines [4]int `json:"engines,omitzero"`
}

func wireGeometryOf(g *mig.Geometry) wireGeometry {
	w := wireGeometry{Axis: g.Axis}
	for i := range g.Profiles {
		p := &g.Profiles[i]
		x := wireProfile{
			Name: p.Profile.String(), ID: p.ID, Enum: p.Enum, Max: p.Max, MemoryBytes: p.MemoryBytes, SMs: p.Multiprocessors,
			Engines: [4]int{p.Engines.Decoders, p.Engines.Encoders, p.Engines.JPEG, p.Engines.OFA},
		}
		for _, pl := range p.Placements {
			x.Places = append(x.Places, [2]int{pl.Start, pl.Size})
		}
		w.Profiles = append(w.Profiles, x)
	}
	return w
}

func (w *wireGeometry) read() (g mig.Geometry, err error) {
	if w.Axis < 0 || w.Axis > maxParts || len(w.Profiles) > maxParts {
		return g, fmt.Errorf("%w: a geometry of %d slices and %d profiles", ErrDocument, w.Axis, len(w.Profiles))
	}
	g.Axis = w.Axis
	for _, x := range w.Profiles {
		p := mig.ProfileInfo{ID: x.ID, Enum: x.Enum, Max: min(max(x.Max, 0), maxParts), MemoryBytes: x.MemoryBytes, Multiprocessors: x.SMs}
		if p.Profile, err = readProfile(x.Name); err != nil {
			return g, err
		}
		if len(x.Places) > maxParts {
			return g, fmt.Errorf("%w: %d placements of %s", ErrDocument, len(x.Places), x.Name)
		}
		for _, at := range x.Places {
			if at[0] < 0 || at[1] < 1 || at[0]+at[1] > w.Axis {
				return g, fmt.Errorf("%w: %s at %d on an axis of %d", ErrDocument, x.Name, at[0], w.Axis)
			}
			p.Placements = append(p.Placements, mig.Placement{Start: at[0], Size: at[1]})
		}
		p.Engines = mig.Engines{Decoders: x.Engines[0], Encoders: x.Engines[1], JPEG: x.Engines[2], OFA: x.Engines[3]}
		g.Profiles = append(g.Profiles, p)
	}
	if !plannable(&g) {
		return g, fmt.Errorf("%w: a geometry can be divided in more ways than a plan looks at", ErrDocument)
	}
	return g, nil
}

// maxLayouts is how many ways to divide a GPU are looked at; those of 2026 have fewer than 3,000. Plans look at each of them.
const maxLayouts = 20_000

// plannable counts the ways by their placements alone, which is too many rather than too few.
func plannable(g *mig.Geometry) bool {
	ways := make([]int, g.Axis+1) // from a start on
	ways[g.Axis] = 1
	for at := g.Axis - 1; at >= 0; at-- {
		ways[at] = ways[at+1]
		for i := range g.Profiles {
			for _, pl := range g.Profiles[i].Placements {
				if pl.Start == at {
					ways[at] = min(ways[at]+ways[at+pl.Size], maxLayouts+1)
				}
			}
		}
	}
	return ways[0] <= maxLayouts
}

// wireGPU is the form of a GPU. Slots are written as "3g.40gb@4:4", profile, start and size.
type wireGPU struct {
	UUID      string         `json:"uuid"`
	Index     int            `json:"index"`
	Geometry  int            `json:"geometry"`
	On        bool           `json:"mig,omitempty"`
	May       bool           `json:"may,omitempty"`
	Why       string         `json:"why,omitempty"`
	Reset     bool           `json:"reset,omitempty"`
	Role      int            `json:"role,omitempty"`
	Declared  []wireCount    `json:"declared,omitempty"`
	Out       string         `json:"out,omitempty"`
	Cooling   bool           `json:"cooling,omitempty"`
	Claims    []wireClaim    `json:"claims,omitempty"`
	Instances []wireInstance `json:"instances,omitempty"`
	Offered   []string       `json:"offered,omitempty"`
	Apart     [][2]string    `json:"apart,omitempty"`
	SplitCost int            `json:"split,omitempty"`
}

// wireClaim is of the whole GPU when it has no slot.
type wireClaim struct {
	Slot   string `json:"slot,omitempty"`
	Holder string `json:"by,omitempty"`
}

type wireInstance struct {
	Slot    string `json:"slot"`
	Pinned  bool   `json:"pinned,omitempty"`
	Held    string `json:"held,omitempty"`
	Expired bool   `json:"expired,omitempty"`
}

func wireGPUOf(g *ReportGPU) wireGPU {
	w := wireGPU{
		UUID: string(g.UUID), Index: g.Index, Geometry: g.Geometry, On: g.Mode.On, May: g.Mode.May, Why: g.Mode.Why, Reset: g.Mode.Reset,
		Role: int(g.Role), Declared: wireCounts(g.Declared), Out: g.Out, Cooling: g.Cooling, SplitCost: g.SplitCost,
	}
	for _, c := range g.Claims {
		x := wireClaim{Holder: c.Holder}
		if !c.Whole {
			x.Slot = slotText(c.Slot)
		}
		w.Claims = append(w.Claims, x)
	}
	for _, i := range g.Instances {
		w.Instances = append(w.Instances, wireInstance{slotText(i.Slot), i.Pinned, i.Held, i.Expired})
	}
	for _, s := range g.Offered {
		w.Offered = append(w.Offered, slotText(s))
	}
	for _, a := range g.Apart {
		w.Apart = append(w.Apart, [2]string{a[0].String(), a[1].String()})
	}
	return w
}

func (w *wireGPU) read() (g ReportGPU, err error) {
	if len(w.Claims) > maxParts || len(w.Instances) > maxParts || len(w.Offered) > maxParts || len(w.Apart) > maxParts {
		return g, fmt.Errorf("%w: too much is on a GPU", ErrDocument)
	}
	g.Geometry = w.Geometry
	if g.UUID, err = uuidOf(w.UUID); err != nil {
		return g, err
	}
	g.Index, g.Role, g.Out, g.Cooling, g.SplitCost = w.Index, plan.Role(w.Role), w.Out, w.Cooling, w.SplitCost
	g.Mode = plan.Mode{On: w.On, May: w.May, Why: w.Why, Reset: w.Reset}
	if g.Role < plan.Auto || g.Role > plan.Pinned {
		return g, fmt.Errorf("%w: a GPU has role %d", ErrDocument, w.Role)
	}
	if g.Declared, err = readCounts(w.Declared); err != nil {
		return g, err
	}
	for _, c := range w.Claims {
		x := plan.Claim{Whole: c.Slot == "", Holder: c.Holder}
		if !x.Whole {
			if x.Slot, err = readSlot(c.Slot); err != nil {
				return g, err
			}
		}
		g.Claims = append(g.Claims, x)
	}
	for _, i := range w.Instances {
		slot, err := readSlot(i.Slot)
		if err != nil {
			return g, err
		}
		g.Instances = append(g.Instances, plan.Instance{Slot: slot, Pinned: i.Pinned, Held: i.Held, Expired: i.Expired})
	}
	for _, o := range w.Offered {
		slot, err := readSlot(o)
		if err != nil {
			return g, err
		}
		g.Offered = append(g.Offered, slot)
	}
	for _, a := range w.Apart {
		p, err := readProfile(a[0])
		if err != nil {
			return g, err
		}
		q, err := readProfile(a[1])
		if err != nil {
			return g, err
		}
		g.Apart = append(g.Apart, [2]mig.Profile{p, q})
	}
	return g, nil
}

func slotText(s mig.Slot) string {
	return s.String() + ":" + strconv.Itoa(s.Placement.Size)
}

func readSlot(text string) (s mig.Slot, err error) {
	profile, place, _ := strings.Cut(text, "@")
	start, size, _ := strings.Cut(place, ":")
	if s.Profile, err = readProfile(profile); err != nil {
		return s, err
	}
	a, okStart := small(start)
	n, okSize := small(size)
	if !okStart || !okSize || n < 1 {
		return s, fmt.Errorf("%w: %q is no slot", ErrDocument, text)
	}
	s.Placement = mig.Placement{Start: a, Size: n}
	return s, nil
}

// readProfile reads what Profile.String wrote, also of profiles that nobody can ask for: their instances take room all the same.
func readProfile(name string) (p mig.Profile, _ error) {
	bad := func() (mig.Profile, error) {
		return mig.Profile{}, fmt.Errorf("%w: %.80q is no profile", ErrDocument, name)
	}
	end := len(name)
	if i := strings.IndexAny(name, "+-"); i >= 0 {
		end = i
	}
	head := name[:end]
	p.Attributes = name[end:]
	memory, found := strings.CutSuffix(head, "gb")
	if !found || len(name) > 80 {
		return bad()
	}
	slices, memory, found := strings.Cut(memory, "g.")
	if !found {
		return bad()
	}
	compute, rest, part := strings.Cut(slices, "c.")
	if !part {
		compute, rest = slices, slices
	}
	var ok [3]bool
	p.Compute, ok[0] = small(compute)
	p.Slices, ok[1] = small(rest)
	p.MemoryGB, ok[2] = small(memory)
	if ok != [3]bool{true, true, true} || part && p.Compute == p.Slices {
		return bad()
	}
	return p, nil
}

// small reads a number of up to four digits.
func small(s string) (int, bool) {
	if s == "" || len(s) > 4 || len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	n := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}
