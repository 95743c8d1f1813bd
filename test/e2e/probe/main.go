// Command probe is what the pods of the tests run: it prints what its container was given, then
// sleeps until it is told to stop, or for --for, and exits with --exit. With --stubborn it does not listen.
// With --record it adds what it prints to a file, and the container that makes that file's --runs-th line exits with 0.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// View is one line of JSON on standard output.
type View struct {
	Env     map[string]string    `json:"env"`
	Devices map[string][2]uint32 `json:"devices"` // path below /dev -> major, minor
	Mounts  []string             `json:"mounts"`  // mount points
	GPUs    []string             `json:"gpus"`    // file names in /usr/lib and below that belong to the driver
}

func main() {
	sleep := flag.Duration("for", 0, "how long to sleep; 0 is until told to stop")
	code := flag.Int("exit", 0, "exit status at the end of --for")
	stubborn := flag.Bool("stubborn", false, "go on when told to stop")
	file := flag.String("record", "", "a file to which what is printed is added")
	runs := flag.Int("runs", 0, "exit with 0 once --record has so many lines; 0: never")
	flag.Parse()
	if *file != "" && record(*file) == *runs {
		*code = 0
	}
	if *stubborn {
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT)
		_ = json.NewEncoder(os.Stdout).Encode(look())
		for {
			time.Sleep(time.Hour)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	_ = json.NewEncoder(os.Stdout).Encode(look())
	if *sleep > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(*sleep):
			os.Exit(*code)
		}
	}
	<-ctx.Done()
}

// record adds what a container was given to a file. It returns how many lines the file has then, -1 when it cannot be written.
func record(path string) int {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o644)
	if err != nil {
		return -1
	}
	defer func() { _ = f.Close() }()
	if json.NewEncoder(f).Encode(look()) != nil {
		return -1
	}
	all, err := os.ReadFile(path)
	if err != nil {
		return -1
	}
	return bytes.Count(all, []byte("\n"))
}

func look() View {
	v := View{Env: map[string]string{}, Devices: map[string][2]uint32{}}
	for _, kv := range os.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		v.Env[name] = value
	}
	_ = filepath.WalkDir("/dev", func(path string, d fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil && !d.IsDir() && strings.HasPrefix(path, "/dev/nvidia") && unix.Stat(path, &st) == nil {
			v.Devices[path] = [2]uint32{unix.Major(st.Rdev), unix.Minor(st.Rdev)}
		}
		return nil
	})
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 4 {
			v.Mounts = append(v.Mounts, f[4])
		}
	}
	_ = filepath.WalkDir("/usr", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (strings.Contains(d.Name(), "libcuda") || strings.Contains(d.Name(), "nvidia")) {
			v.GPUs = append(v.GPUs, path)
		}
		return nil
	})
	return v
}
