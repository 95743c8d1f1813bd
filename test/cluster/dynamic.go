package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ProgramImage is an image of one program of this machine, at /usr/bin under its own name, with the
// loader and the libraries that it is linked with, and the rest of the C library, which a library
// that it opens later may need. extra is more files: path in the image -> path on this machine.
func ProgramImage(ctx context.Context, name, program string, extra map[string]string) (Image, error) {
	inside := "/usr/bin/" + filepath.Base(program)
	image := Image{Name: name, Entrypoint: []string{inside}, Files: map[string]string{inside: program}}
	libraries, err := linked(ctx, program)
	if err != nil {
		return Image{}, err
	}
	for _, path := range libraries {
		image.Files[path] = path
		if filepath.Base(path) != "libc.so.6" {
			continue
		}
		for _, more := range []string{"libdl.so.2", "libm.so.6", "libpthread.so.0", "librt.so.1"} {
			if path := filepath.Join(filepath.Dir(path), more); isFile(path) {
				image.Files[path] = path
			}
		}
	}
	if certs := "/etc/ssl/certs/ca-certificates.crt"; isFile(certs) {
		image.Files[certs] = certs
	}
	for inside, path := range extra {
		image.Files[inside] = path
	}
	return image, nil
}

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

// linked returns the loader and the libraries of a program, none for a static one.
func linked(ctx context.Context, program string) ([]string, error) {
	out, err := exec.CommandContext(ctx, "ldd", program).CombinedOutput()
	if err != nil {
		if strings.Contains(string(out), "not a dynamic executable") {
			return nil, nil
		}
		return nil, fmt.Errorf("ldd %s: %w: %s", program, err, out)
	}
	var paths []string
	for line := range strings.Lines(string(out)) {
		// "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)", "/lib64/ld-linux-x86-64.so.2 (0x...)"
		if strings.Contains(line, "not found") {
			return nil, fmt.Errorf("%s: %s", program, strings.TrimSpace(line))
		}
		for _, field := range strings.Fields(line) {
			if strings.HasPrefix(field, "/") {
				paths = append(paths, field)
			}
		}
	}
	return paths, nil
}
