package checkpoint_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/gpulet/gpulet/test/fakekubelet/checkpoint"
)

// A checkpoint that kubelet 1.37.2's own code wrote is read, and written again byte for byte.
func TestIsTheKubeletsFormat(t *testing.T) {
	golden, err := os.ReadFile("testdata/kubelet-1.37.2.json")
	if err != nil {
		t.Fatal(err)
	}
	entries, registered, err := checkpoint.Parse(golden)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 || len(entries[0].DeviceIDs.IDs()) != 3 || len(registered) != 2 {
		t.Fatalf("read %v and %v", entries, registered)
	}
	dir := t.TempDir()
	if err := checkpoint.Write(dir, entries, registered); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, checkpoint.File))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, golden) {
		t.Errorf("wrote\n%s\nthe kubelet wrote\n%s", got, golden)
	}
}

func TestReadRefuses(t *testing.T) {
	golden, err := os.ReadFile("testdata/kubelet-1.37.2.json")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := checkpoint.Parse(bytes.Replace(golden, []byte("GPU-c"), []byte("GPU-d"), 1)); err == nil {
		t.Error("a checkpoint that was tampered with was accepted")
	}
	if _, _, err := checkpoint.Parse([]byte("{")); err == nil {
		t.Error("half a checkpoint was accepted")
	}
	if _, _, err := checkpoint.Read(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no checkpoint: %v", err)
	}
}

// Whatever is accepted is written as it was read.
func FuzzParse(f *testing.F) {
	golden, err := os.ReadFile("testdata/kubelet-1.37.2.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add([]byte(`{"Data":{"PodDeviceEntries":null,"RegisteredDevices":{}},"Checksum":1}`))
	f.Fuzz(func(t *testing.T, blob []byte) {
		entries, registered, err := checkpoint.Parse(blob)
		if err != nil {
			return
		}
		dir := t.TempDir()
		if err := checkpoint.Write(dir, entries, registered); err != nil {
			t.Fatal(err)
		}
		again, all, err := checkpoint.Read(dir)
		if err != nil || len(again) != len(entries) || len(all) != len(registered) {
			t.Errorf("%v and %v became %v and %v: %v", entries, registered, again, all, err)
		}
	})
}
