package parted

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// The files that mig-parted publishes parse as they are, wherever a copy of its source is at hand: in the folder that GPULET_MIG_PARTED
// names, or in Go's module cache. Each of their configurations is reached on a card, or is for other cards.
func TestPublishedFiles(t *testing.T) {
	dirs, _ := filepath.Glob(filepath.Join(moduleCache(), "github.com/!n!v!i!d!i!a/mig-parted@*"))
	if dir := os.Getenv("GPULET_MIG_PARTED"); dir != "" {
		dirs = []string{dir}
	}
	if len(dirs) == 0 {
		t.Skip("no copy of mig-parted here: `go mod download github.com/NVIDIA/mig-parted@latest` in an empty module brings one")
	}
	for _, dir := range dirs {
		var files []string
		for _, pattern := range []string{"examples/*.yaml", "deployments/systemd/config*.yaml", "deployments/*/nvidia-mig-manager-example*.yaml"} {
			found, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, found...)
		}
		if len(files) == 0 {
			t.Errorf("%s holds none of the files", dir)
		}
		for _, path := range files {
			t.Run(filepath.Base(dir)+"/"+filepath.Base(path), func(t *testing.T) {
				for _, data := range configurations(t, path) {
					published(t, filepath.Base(path), data)
				}
			})
		}
	}
}

func published(t *testing.T, name string, data []byte) {
	f, err := Parse(name, data)
	if err != nil {
		t.Fatal(err)
	}
	for card, shapeName := range cards() {
		n := shape(t, shapeName)
		reached := 0
		for _, c := range f.Names() {
			made, err := f.Resolve(c, n.gpus)
			if err != nil && !strings.Contains(err.Error(), "there is no profile") {
				t.Errorf("%s: %v", card, err)
			}
			for i, g := range n.gpus {
				n.reach(i, made[g.UUID])
			}
			if len(made) > 0 {
				reached++
			}
		}
		t.Logf("%s: %d of %d configurations reached", card, reached, len(f.Names()))
	}
}

// configurations are those of a file: itself, or the values of the ConfigMaps of a manifest that are of this form.
func configurations(t *testing.T, path string) (out [][]byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(path, "nvidia-mig-manager-example") {
		return [][]byte{data}
	}
	for doc := range strings.SplitSeq(string(data), "\n---") {
		var m struct {
			Data map[string]string `yaml:"data"`
		}
		if yaml.Unmarshal([]byte(doc), &m) != nil {
			continue
		}
		for _, v := range m.Data {
			if strings.Contains(v, "mig-configs:") {
				out = append(out, []byte(v))
			}
		}
	}
	return out
}

func moduleCache() string {
	if dir := os.Getenv("GOMODCACHE"); dir != "" {
		return dir
	}
	path := os.Getenv("GOPATH")
	if path == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		path = filepath.Join(home, "go")
	}
	return filepath.Join(filepath.SplitList(path)[0], "pkg", "mod")
}
