package parted

import (
	"github.com/gpulet/gpulet/gpu/mig"
)

// version is the only version of the file's form.
const version = "v1"

// File is the named configurations of a file, of the hardware, or of both. Immutable.
type File struct{ configs []config }

// config is a named configuration.
type config struct {
	name    string
	entries []entry
}

// entry says what some GPUs are to be. Where it stands is for errors about it.
type entry struct {
	file    string
	line    int
	field   string
	filters []filter // empty: every GPU
	all     bool     // otherwise indexes
	indexes []int
	enabled bool
	counts  []count
}

// filter is a PCI device with its vendor, and, if it is not 0, the subsystem with its vendor.
type filter struct {
	text              string
	device, subsystem uint32
}

// count is a number of instances, one at least.
type count struct {
	profile mig.Profile
	n       int
	line    int
}

// Names are the names of the configurations in their order.
func (f *File) Names() []string {
	if f == nil {
		return nil
	}
	out := make([]string, len(f.configs))
	for i := range f.configs {
		out[i] = f.configs[i].name
	}
	return out
}

func (f *File) find(name string) *config {
	if f == nil {
		return nil
	}
	for i := range f.configs {
		if f.configs[i].name == name {
			return &f.configs[i]
		}
	}
	return nil
}

// Merge is a file of a user with what was made from the hardware beside it: where both have a name, the user's counts. Either may be nil.
func Merge(file, named *File) *File {
	out := &File{}
	for _, f := range []*File{file, named} {
		if f == nil {
			continue
		}
		for _, c := range f.configs {
			if out.find(c.name) == nil {
				out.configs = append(out.configs, c)
			}
		}
	}
	return out
}
