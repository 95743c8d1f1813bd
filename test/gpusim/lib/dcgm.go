package lib

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/gpulet/gpulet/test/gpusim/dcgm"
)

// DCGMVariant is one make of libdcgm.so.4.
type DCGMVariant struct {
	// Version is what it says of itself.
	Version string
	// Without are functions that it lacks.
	Without []string
}

// DCGMVariants are the makes by name: "" is DCGM 4.6, "4.5" knows its fields only, "4.4" has no connection strings and no attaching
// either, and "broken" lacks the function that reads values.
func DCGMVariants() map[string]DCGMVariant {
	return map[string]DCGMVariant{
		"":       {Version: "4.6.1"},
		"4.5":    {Version: "4.5.2"},
		"4.4":    {Version: "4.4.2", Without: []string{"dcgmConnect_v3", "dcgmAttachDriver", "dcgmDetachDriver"}},
		"broken": {Version: "4.6.1", Without: []string{"dcgmEntitiesGetLatestValues"}},
	}
}

// dcgmFile is a variant's name in a folder of built libraries.
func dcgmFile(variant string) string {
	if variant == "" {
		return "dcgm.so"
	}
	return "dcgm-" + variant + ".so"
}

// DCGM gives a variant of libdcgm.so.4.
func DCGM(ctx context.Context, variant string) ([]byte, error) {
	v, ok := DCGMVariants()[variant]
	if !ok {
		return nil, fmt.Errorf("libdcgm has no variant %q", variant)
	}
	if dir := os.Getenv(DirEnv); dir != "" {
		return os.ReadFile(filepath.Join(dir, dcgmFile(variant)))
	}
	path, err := buildDCGM(ctx, dcgmFile(variant), v)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// WriteDCGM puts every variant into a folder of built libraries.
func WriteDCGM(ctx context.Context, dir string) error {
	for name := range DCGMVariants() {
		data, err := DCGM(ctx, name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, dcgmFile(name)), data, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// DCGMHeaderDir is the folder of NVIDIA's DCGM headers in the go-dcgm module.
func DCGMHeaderDir(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/NVIDIA/go-dcgm").Output()
	if err != nil {
		return "", fmt.Errorf("find the go-dcgm module: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "pkg", "dcgm"), nil
}

func buildDCGM(ctx context.Context, name string, v DCGMVariant) (string, error) {
	include, err := DCGMHeaderDir(ctx)
	if err != nil {
		return "", err
	}
	symbols, err := DCGMSymbols()
	if err != nil {
		return "", err
	}
	symbols = slices.DeleteFunc(symbols, func(s string) bool { return slices.Contains(v.Without, s) })
	script := "{ global:\n  " + strings.Join(symbols, ";\n  ") + ";\nlocal: *; };\n"
	table := fieldTable(v.Version)
	path, err := cached(name, func(hash io.Writer) error {
		_, err := io.WriteString(hash, include+script+table+v.Version)
		return errors.Join(err, hashSources(hash))
	})
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return path, compile(ctx, path, script, "libdcgm.so.4", map[string]string{"fields.inc": table},
		"link.c", "conn.c", "dcgm.c", "dcgm_values.c", "dcgm_self.c", "-I"+include, "-I.", fmt.Sprintf("-DDCGM_VERSION=%q", v.Version))
}

// fieldTable is what the library itself knows of fields.
func fieldTable(version string) string {
	var b strings.Builder
	for _, f := range dcgm.Catalog(version) {
		size, scope := 8, 1
		if f.Type == dcgm.String {
			size = 0
		}
		if f.Level == dcgm.None {
			scope = 0
		}
		fmt.Fprintf(&b, "FIELD(%d, '%c', %d, %q, %d, %d)\n", f.ID, f.Type, size, f.Tag, scope, f.Level)
	}
	return b.String()
}

// DCGMSymbols are the functions of libdcgm.so.4, sorted.
func DCGMSymbols() ([]string, error) {
	var out []string
	for _, name := range []string{"dcgm.c", "dcgm_values.c", "dcgm_self.c"} {
		source, err := sources.ReadFile("c/" + name)
		if err != nil {
			return nil, err
		}
		for _, m := range regexp.MustCompile(`(?m)^(?:dcgmReturn_t |int |dcgm_field_meta_p |const \w+ \*)(\w+)\(`).FindAllSubmatch(source, -1) {
			out = append(out, string(m[1]))
		}
	}
	slices.Sort(out)
	return out, nil
}
