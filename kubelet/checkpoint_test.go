package kubelet

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// as kubelet 1.37 writes it: two NUMA nodes, one device at both.
const checkpoint137 = `{"Data":{"PodDeviceEntries":[{"PodUID":"0c7a1e0e-0b53-4c0e-9d0e-111111111111","ContainerName":"main",` +
	`"ResourceName":"nvidia.com/gpu","DeviceIDs":{"-1":["GPU-3"],"0":["GPU-1","GPU-2"],"1":["GPU-1"]},"AllocResp":"CgA="}],` +
	`"RegisteredDevices":{"nvidia.com/gpu":["GPU-1","GPU-2","GPU-3"]}},"Checksum":2711237182}`

func TestParseCheckpoint(t *testing.T) {
	got, err := ParseCheckpoint([]byte(checkpoint137))
	want := []CheckpointEntry{{
		Pod: "0c7a1e0e-0b53-4c0e-9d0e-111111111111", Container: "main", Resource: "nvidia.com/gpu", IDs: []string{"GPU-1", "GPU-2", "GPU-3"},
	}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if got, err := ParseCheckpoint([]byte(`{"Data":{"PodDeviceEntries":null,"RegisteredDevices":{}},"Checksum":1}`)); err != nil || len(got) != 0 {
		t.Errorf("an empty one: %+v, %v", got, err)
	}
	for name, text := range map[string]string{
		"nothing":               "",
		"cut off":               checkpoint137[:200],
		"before 1.20":           strings.Replace(checkpoint137, `{"-1":["GPU-3"],"0":["GPU-1","GPU-2"],"1":["GPU-1"]}`, `["GPU-1"]`, 1),
		"without a checksum":    `{"Data":{"PodDeviceEntries":[]}}`,
		"of another form":       `{"podDevices":[],"Checksum":1}`,
		"without a pod":         strings.Replace(checkpoint137, `"0c7a1e0e-0b53-4c0e-9d0e-111111111111"`, `""`, 1),
		"with an empty id":      strings.Replace(checkpoint137, `"GPU-3"`, `""`, 1),
		"with a bad NUMA node":  strings.Replace(checkpoint137, `"-1"`, `"none"`, 1),
		"followed by more data": checkpoint137 + "{}",
	} {
		if got, err := ParseCheckpoint([]byte(text)); err == nil {
			t.Errorf("one %s is read as %+v", name, got)
		}
	}
}

// A missing file is an answer; one that is replaced is read anew, also when its size and name stay.
func TestCheckpointFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kubelet_internal_checkpoint")
	f := checkpointFile{path: path}
	c, err := f.read()
	if err != nil || !c.Absent {
		t.Fatalf("%+v, %v", c, err)
	}
	write := func(text string) {
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write(checkpoint137)
	first, err := f.read()
	if err != nil || first.Absent || len(first.Entries) != 1 || first.Written.IsZero() {
		t.Fatalf("%+v, %v", first, err)
	}
	if again, _ := f.read(); !again.Read.After(first.Read) || !reflect.DeepEqual(again.Entries, first.Entries) {
		t.Errorf("%+v is not %+v, read again", again, first)
	}
	write(strings.ReplaceAll(checkpoint137, "GPU-3", "GPU-4"))
	if c, err := f.read(); err != nil || c.Entries[0].IDs[2] != "GPU-4" {
		t.Errorf("%+v, %v", c, err)
	}
	write("?")
	if c, err := f.read(); err == nil {
		t.Errorf("%+v", c)
	} else if f.news(err) == "" || f.news(err) != "" {
		t.Error("an error is told once")
	}
	if _, err := ReadCheckpoint(t.TempDir()); err == nil {
		t.Error("a folder is read")
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add([]byte(checkpoint137))
	f.Add([]byte(`{"Data":{"PodDeviceEntries":null,"RegisteredDevices":null},"Checksum":0}`))
	f.Add([]byte(`{"Data":{"PodDeviceEntries":[{"DeviceIDs":["a"]}]},"Checksum":-1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := ParseCheckpoint(data)
		if err != nil {
			return
		}
		for _, e := range entries {
			if e.Pod == "" || e.Container == "" || e.Resource == "" {
				t.Fatalf("%+v", e)
			}
		}
		again, err := ParseCheckpoint(encodeCheckpoint(t, entries))
		if err != nil || len(again) != len(entries) {
			t.Fatalf("%+v is written and read as %+v, %v", entries, again, err)
		}
	})
}

func FuzzParseClaims(f *testing.F) {
	f.Add([]byte(`{"version":1,"bootID":"b","claims":[{"resource":"r","id":"i","pod":"u","opened":"2026-01-02T03:04:05Z","confirmed":true}]}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"version":1,"claims":[{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseClaims(data)
		if err != nil {
			return
		}
		dir := t.TempDir()
		if err := saveClaims(dir, s); err != nil {
			t.Skip("times that cannot be written")
		}
		again, err := loadClaims(dir)
		if err != nil || len(again.Claims) != len(s.Claims) || again.BootID != s.BootID {
			t.Fatalf("%+v is kept as %+v, %v", s, again, err)
		}
		for i := range s.Claims {
			if !again.Claims[i].Opened.Equal(s.Claims[i].Opened) {
				t.Fatalf("%+v is kept as %+v", s.Claims[i], again.Claims[i])
			}
		}
	})
}
