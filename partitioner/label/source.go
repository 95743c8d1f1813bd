package label

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/partitioner/parted"
)

// Configurations are those of a file of mig-parted, if there is one, with what is made from the GPUs beside them.
func Configurations(s *gpu.Snapshot, file string) (*parted.File, error) {
	named := parted.Named(gpusOf(s))
	if file == "" {
		return named, nil
	}
	data, err := read(file)
	if err != nil {
		return nil, err
	}
	users, err := parted.Parse(file, data)
	if err != nil {
		return nil, err
	}
	return parted.Merge(users, named), nil
}

// Resolve is what a named configuration makes of the GPUs; file may be empty. It is of the form of partitioner.Config.Named.
func Resolve(s *gpu.Snapshot, file, name string) (map[gpu.UUID]parted.Target, error) {
	f, err := Configurations(s, file)
	if err != nil {
		return nil, err
	}
	return f.Resolve(name, gpusOf(s))
}

// read reads a file that may be replaced at any time, and is no larger than a parser takes.
func read(file string) (data []byte, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read mig-parted's file: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if data, err = io.ReadAll(io.LimitReader(f, parted.MaxFile+1)); err != nil {
		return nil, fmt.Errorf("read mig-parted's file %s: %w", file, err)
	}
	return data, nil
}

func gpusOf(s *gpu.Snapshot) []parted.GPU {
	out := make([]parted.GPU, len(s.GPUs))
	for i := range s.GPUs {
		g := &s.GPUs[i]
		out[i] = parted.GPU{UUID: g.UUID, Index: g.Index, DeviceID: g.PCIDeviceID, SubsystemID: g.PCISubsystemID}
		if g.MIG.Capable {
			out[i].Geometry = g.Geometry
		}
	}
	return out
}
