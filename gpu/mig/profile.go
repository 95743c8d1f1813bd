// Package mig is the pure geometry of multi-instance GPUs: profile names,
// placements on a GPU's axis of memory slices, and what overlaps what.
// It owns no hardware and calls no driver; every size, count and placement that
// it works with was read from the driver, none is a table of this package.
package mig

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ErrProfile is wrapped by every error of ParseProfile.
var ErrProfile = errors.New("not a MIG profile name")

// Profile is the name of a MIG profile in parts: `1c.3g.40gb+me` has Compute 1,
// Slices 3, MemoryGB 40 and the attribute "+me". The zero Profile is no profile.
type Profile struct {
	// Compute is the number of compute slices, equal to Slices for a compute
	// instance that fills its GPU instance.
	Compute int
	// Slices is the number of compute slices of the GPU instance.
	Slices int
	// MemoryGB is the memory in the name, in GB as the driver rounds it.
	MemoryGB int
	// Attributes holds "+me", "+gfx", "+me.all" or "-me" as the driver writes
	// them, in its order, joined without a separator; empty for a base profile.
	Attributes string
}

// String gives the driver's name of the profile: `3g.40gb`, `1c.3g.40gb`, `1g.10gb+me`.
func (p Profile) String() string {
	name := fmt.Sprintf("%dg.%dgb%s", p.Slices, p.MemoryGB, p.Attributes)
	if p.Compute != p.Slices {
		name = fmt.Sprintf("%dc.%s", p.Compute, name)
	}
	return name
}

// Instance is the profile of the GPU instance that carries p: `3g.40gb` for `1c.3g.40gb`.
func (p Profile) Instance() Profile {
	p.Compute = p.Slices
	return p
}

// IsSlice reports whether p is a sub-slice, a compute instance smaller than its GPU instance.
func (p Profile) IsSlice() bool { return p.Compute != p.Slices }

// Resource is the part of the Kubernetes resource name behind `nvidia.com/`:
// `mig-` and the profile with `+` as `.`, since `+` is illegal there; a negative
// attribute keeps its minus (`mig-1g.24gb-me`).
func (p Profile) Resource() string {
	return "mig-" + strings.ReplaceAll(p.String(), "+", ".")
}

// attributes lists the attributes that the driver writes, longest first where one begins another.
func attributes() []string { return []string{"+me.all", "+me", "+gfx", "-me"} }

// ParseProfile reads a profile name as the driver writes it. Errors wrap
// ErrProfile and name the part that is wrong.
func ParseProfile(name string) (Profile, error) {
	fail := func(why string) (Profile, error) {
		return Profile{}, fmt.Errorf("%q is %w: %s", name, ErrProfile, why)
	}
	end := strings.IndexAny(name, "+-")
	if end < 0 {
		end = len(name)
	}
	parts := strings.Split(name[:end], ".")
	if len(parts) != 2 && len(parts) != 3 {
		return fail("want the form [<n>c.]<n>g.<n>gb[+attribute]")
	}
	var p Profile
	var ok bool
	if len(parts) == 3 {
		if p.Compute, ok = number(parts[0], "c"); !ok {
			return fail("want a count of compute slices such as 1c before the first dot")
		}
		parts = parts[1:]
	}
	if p.Slices, ok = number(parts[0], "g"); !ok {
		return fail("want a count of GPU slices such as 1g")
	}
	if p.MemoryGB, ok = number(parts[1], "gb"); !ok {
		return fail("want a memory size such as 10gb")
	}
	if p.Compute > p.Slices {
		return fail("more compute slices than GPU slices")
	}
	switch p.Compute {
	case 0:
		p.Compute = p.Slices
	case p.Slices:
		return fail("a compute instance of full size is written without the <n>c part")
	}
	p.Attributes = name[end:]
	for rest := p.Attributes; rest != ""; {
		i := slices.IndexFunc(attributes(), func(a string) bool { return strings.HasPrefix(rest, a) })
		if i < 0 {
			return fail("known attributes are " + strings.Join(attributes(), ", "))
		}
		rest = rest[len(attributes()[i]):]
	}
	return p, nil
}

// number reads a positive decimal without sign or leading zero before the suffix.
func number(s, suffix string) (int, bool) {
	digits, found := strings.CutSuffix(s, suffix)
	if !found || digits == "" || digits[0] < '1' || digits[0] > '9' || len(digits) > 4 {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil
}
