// Package checkpoint reads and writes the device manager's checkpoint as kubelet 1.37.2 does, checksum included.
// The kubelet hashes a printed form in which the names of the types occur, so this package and its types have the kubelet's names.
package checkpoint

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"

	"k8s.io/utils/dump"
)

// File is the name of the checkpoint in the device-plugins directory.
const File = "kubelet_internal_checkpoint"

// NoNUMA stands for the node of devices without a topology.
const NoNUMA int64 = -1

// DevicesPerNUMA are device ids by NUMA node. A device with two nodes is listed at both.
type DevicesPerNUMA map[int64][]string

// IDs are all ids, each once.
func (d DevicesPerNUMA) IDs() map[string]bool {
	all := map[string]bool{}
	for _, ids := range d {
		for _, id := range ids {
			all[id] = true
		}
	}
	return all
}

// PodDevicesEntry says what one container has of one resource; AllocResp is a marshalled ContainerAllocateResponse.
type PodDevicesEntry struct {
	PodUID        string
	ContainerName string
	ResourceName  string
	DeviceIDs     DevicesPerNUMA
	AllocResp     []byte
}

type checkpointData struct {
	PodDeviceEntries []PodDevicesEntry
	// RegisteredDevices are the healthy ids by resource.
	RegisteredDevices map[string][]string
}

type document struct {
	Data     checkpointData
	Checksum uint64
}

// Write replaces the checkpoint in a directory.
func Write(dir string, entries []PodDevicesEntry, registered map[string][]string) error {
	d := document{Data: checkpointData{entries, registered}}
	d.Checksum = checksum(d.Data)
	blob, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	f, err := os.CreateTemp(dir, ".")
	if err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	_, err = f.Write(blob)
	for _, step := range []func() error{f.Sync, f.Close, func() error { return os.Rename(f.Name(), filepath.Join(dir, File)) }} {
		if err == nil {
			err = step()
		}
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(f.Name())
		return fmt.Errorf("write checkpoint: %w", err)
	}
	return nil
}

// Read reads the checkpoint in a directory; the error is os.ErrNotExist when there is none.
func Read(dir string) (entries []PodDevicesEntry, registered map[string][]string, err error) {
	blob, err := os.ReadFile(filepath.Join(dir, File))
	if err != nil {
		return nil, nil, fmt.Errorf("read checkpoint: %w", err)
	}
	return Parse(blob)
}

// Parse reads a checkpoint and verifies its checksum.
func Parse(blob []byte) (entries []PodDevicesEntry, registered map[string][]string, err error) {
	var d document
	if err := json.Unmarshal(blob, &d); err != nil {
		return nil, nil, fmt.Errorf("read checkpoint: %w", err)
	}
	if want := checksum(d.Data); d.Checksum != want {
		return nil, nil, fmt.Errorf("read checkpoint: it is corrupt: checksum %d instead of %d", d.Checksum, want)
	}
	return d.Data.PodDeviceEntries, d.Data.RegisteredDevices, nil
}

func checksum(d checkpointData) uint64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(dump.ForHash(d)))
	return uint64(h.Sum32())
}
