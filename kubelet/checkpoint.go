package kubelet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"
)

// Checkpoint is the kubelet's own account of what it gave to whom, as its file says. A hint: it is written after each allocation
// and each list of devices, so that pods that ended stay in it until then. Immutable.
type Checkpoint struct {
	// Read is when the file was opened last, Written when the kubelet wrote it.
	Read, Written time.Time
	// Absent: there is no such file.
	Absent  bool
	Entries []CheckpointEntry
}

// CheckpointEntry is what one container was given of one resource.
type CheckpointEntry struct {
	Pod                 UID
	Container, Resource string
	IDs                 []string // ordered
}

// maxCheckpoint bounds the file, in bytes: a node's is a few hundred kilobytes.
const maxCheckpoint = 64 << 20

// ReadCheckpoint reads the kubelet's file. A missing one is an answer, not an error.
func ReadCheckpoint(path string) (*Checkpoint, error) {
	read := time.Now()
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &Checkpoint{Read: read, Absent: true}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the kubelet's checkpoint: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at the kubelet's checkpoint: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxCheckpoint+1))
	if err != nil {
		return nil, fmt.Errorf("read the kubelet's checkpoint: %w", err)
	}
	entries, err := ParseCheckpoint(data)
	if err != nil {
		return nil, err
	}
	return &Checkpoint{Read: read, Written: info.ModTime(), Entries: entries}, nil
}

// ParseCheckpoint reads the form that kubelets have written since 1.20 (devicemanager/checkpoint/checkpoint.go). Others are errors.
// The checksum must be there and is not verified: it is of the kubelet's Go values as text, and the file is replaced as a whole.
func ParseCheckpoint(data []byte) ([]CheckpointEntry, error) {
	fail := func(format string, args ...any) ([]CheckpointEntry, error) {
		return nil, fmt.Errorf("read the kubelet's checkpoint: "+format, args...)
	}
	if len(data) > maxCheckpoint {
		return fail("it is larger than %d bytes", maxCheckpoint)
	}
	var file struct {
		Data *struct {
			PodDeviceEntries []struct {
				PodUID, ContainerName, ResourceName string
				// DeviceIDs are by NUMA node; -1 is none.
				DeviceIDs map[int64][]string
			}
			RegisteredDevices map[string][]string
		}
		Checksum *uint64
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return fail("%w", err)
	}
	if file.Data == nil || file.Checksum == nil {
		return fail("it has no data or no checksum")
	}
	out := make([]CheckpointEntry, 0, len(file.Data.PodDeviceEntries))
	for i, e := range file.Data.PodDeviceEntries {
		if e.PodUID == "" || e.ContainerName == "" || e.ResourceName == "" {
			return fail("entry %d does not say whose it is or of what", i)
		}
		entry := CheckpointEntry{Pod: UID(e.PodUID), Container: e.ContainerName, Resource: e.ResourceName}
		for _, ids := range e.DeviceIDs {
			entry.IDs = append(entry.IDs, ids...)
		}
		slices.Sort(entry.IDs)
		entry.IDs = slices.Compact(entry.IDs) // a device is at each of its NUMA nodes
		if slices.Contains(entry.IDs, "") {
			return fail("entry %d has an empty device id", i)
		}
		out = append(out, entry)
	}
	return out, nil
}
