package mig

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// RawProfile is one GPU-instance profile in the driver's own words.
type RawProfile struct {
	Enum int
	ID   uint32
	// Name is empty where the driver is too old to tell it.
	Name   string
	Slices int
	// Instances is how many the driver says fit on one GPU; some drivers are wrong about the A30.
	Instances       int
	Multiprocessors int
	MemoryMiB       uint64
	Engines         Engines
	Placements      []Placement
}

// Assemble makes a geometry of what a driver told about a GPU with that much memory. Whatever does not fit together
// is told in problems, one sentence each; a profile whose name cannot be known keeps its instances visible under
// a name that ParseProfile refuses, so that nobody mistakes it for another.
func Assemble(raw []RawProfile, memoryBytes uint64) (g Geometry, problems []string) {
	taken := map[Profile]bool{}
	for _, r := range raw {
		if len(r.Placements) == 0 {
			problems = append(problems, fmt.Sprintf("profile %d (%s) has no placement and is left out", r.ID, r.label()))
			continue
		}
		p, why := r.profile(memoryBytes)
		if why == "" && taken[p] {
			why = fmt.Sprintf("its name %s is another profile's", p)
		}
		if why != "" {
			p.Attributes += fmt.Sprintf("+id%d", r.ID)
			problems = append(problems, fmt.Sprintf("profile %d (%s) is not offered: %s", r.ID, r.label(), why))
		}
		taken[p] = true
		places := slices.Clone(r.Placements)
		slices.SortFunc(places, func(a, b Placement) int {
			return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Size, b.Size))
		})
		most := packing(places)
		info := ProfileInfo{
			Profile: p, ID: r.ID, Enum: r.Enum, Placements: places, Max: r.Instances,
			MemoryBytes: r.MemoryMiB << 20, Multiprocessors: r.Multiprocessors, Engines: r.Engines,
		}
		if info.Max < 1 || info.Max > most {
			problems = append(problems, fmt.Sprintf("the driver says that %d of %s fit, its placements allow %d", r.Instances, p, most))
			info.Max = most
		}
		for _, pl := range places {
			g.Axis = max(g.Axis, pl.Start+pl.Size)
		}
		g.Profiles = append(g.Profiles, info)
	}
	return g, problems
}

func (r RawProfile) label() string {
	if r.Name != "" {
		return r.Name
	}
	return fmt.Sprintf("enum %d", r.Enum)
}

// profile names a profile: as the driver does, or, when it does not, from its size; why is empty when that is sure.
func (r RawProfile) profile(memoryBytes uint64) (p Profile, why string) {
	p = Profile{Compute: r.Slices, Slices: r.Slices, MemoryGB: nameGB(r.MemoryMiB, memoryBytes)}
	if name := strings.TrimPrefix(strings.TrimSpace(r.Name), "MIG "); name != "" {
		named, err := ParseProfile(name)
		if err != nil {
			return p, err.Error()
		}
		return named, ""
	}
	attributes, known := attributesOf(r.Enum)
	p.Attributes = attributes
	switch {
	case !known:
		return p, "the driver does not name it and its enum is new"
	case p.Slices < 1 || p.MemoryGB < 1:
		return p, "the driver does not name it and tells no size"
	}
	return p, ""
}

// nameGB is the memory in a profile's name: the share of the GPU's memory, rounded up to eighths, of the memory in GiB, rounded up.
// It is how NVIDIA's tools name profiles for drivers that do not (measured against the names that later drivers give).
func nameGB(mib, total uint64) int {
	if mib == 0 || total == 0 {
		return 0
	}
	gib := (total + 1<<30 - 1) >> 30
	eighths := ((mib<<20)*8 + total - 1) / total
	return int((eighths*gib + 4) / 8)
}

// attributesOf is the attribute that NVML's profile enum stands for (nvml.h, NVML_GPU_INSTANCE_PROFILE_*).
func attributesOf(enum int) (attributes string, known bool) {
	switch enum {
	case 0, 1, 2, 3, 4, 5, 6, 9: // n slices; 9 is the 1-slice profile with double memory
		return "", true
	case 7, 8:
		return "+me", true
	case 10, 11, 12, 17:
		return "+gfx", true
	case 13, 14:
		return "-me", true
	case 15, 16:
		return "+me.all", true
	}
	return "", false
}

// packing is how many of the placements, ordered by start, fit beside each other.
func packing(places []Placement) (n int) {
	ends := make([]Placement, len(places))
	copy(ends, places)
	slices.SortFunc(ends, func(a, b Placement) int { return cmp.Compare(a.Start+a.Size, b.Start+b.Size) })
	end := 0
	for _, p := range ends {
		if p.Start >= end {
			n, end = n+1, p.Start+p.Size
		}
	}
	return n
}
