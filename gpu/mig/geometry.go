package mig

import "fmt"

// Placement is a run of memory slices on a GPU's axis: Start and Size count slices.
type Placement struct{ Start, Size int }

// String gives the form of the driver's tools: `{4}:4`.
func (p Placement) String() string { return fmt.Sprintf("{%d}:%d", p.Start, p.Size) }

// Overlaps reports whether two placements share a memory slice.
func (p Placement) Overlaps(q Placement) bool {
	return p.Start < q.Start+q.Size && q.Start < p.Start+p.Size
}

// Slot is a profile at a placement: the place on one GPU's axis where a GPU
// instance is or could be.
type Slot struct {
	Profile   Profile
	Placement Placement
}

func (s Slot) String() string { return fmt.Sprintf("%s@%d", s.Profile, s.Placement.Start) }

// ProfileInfo is one GPU-instance profile as a GPU's driver describes it.
type ProfileInfo struct {
	Profile Profile
	// ID is the driver's profile id, the number that `nvidia-smi mig -lgip` shows.
	ID uint32
	// Enum is NVML's index of the profile, which asks for it.
	Enum int
	// Placements are all placements that the hardware allows, whatever is occupied, by start.
	Placements []Placement
	// Max is how many instances of the profile one GPU can hold at once.
	Max int
	// MemoryBytes is the memory of one instance; Multiprocessors its SM count.
	MemoryBytes     uint64
	Multiprocessors int
	// Engines are the media engines that one instance takes for itself. All zero where the driver does not tell.
	Engines Engines
}

// Engines counts media engines. Instances share out those of their GPU, so they exclude each other like slices do:
// `1g.24gb+me.all` leaves none for anything but `-me` profiles.
type Engines struct{ Decoders, Encoders, JPEG, OFA int }

// Geometry is what a GPU can be divided into, read from its driver.
// The zero Geometry belongs to a GPU that cannot do MIG.
type Geometry struct {
	// Axis is the number of memory slices: 8 on A100 and H100, 4 on A30, 12 on RTX PRO 6000.
	Axis     int
	Profiles []ProfileInfo
}

// Profile finds a profile by the driver's id.
func (g Geometry) Profile(id uint32) (ProfileInfo, bool) {
	for _, p := range g.Profiles {
		if p.ID == id {
			return p, true
		}
	}
	return ProfileInfo{}, false
}
