// Package shapes holds the ready-made shapes of simulated nodes, one YAML file each. It owns the files and reads them; it never
// builds a node.
package shapes

import (
	"embed"
	"fmt"
	"path"
	"strings"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

//go:embed *.yaml
var files embed.FS

// Names lists the shapes by name.
func Names() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		out = append(out, strings.TrimSuffix(e.Name(), path.Ext(e.Name())))
	}
	return out
}

// Load reads a shape by name.
func Load(name string) (model.Shape, error) {
	data, err := files.ReadFile(name + ".yaml")
	if err != nil {
		return model.Shape{}, fmt.Errorf("no shape %q; there are %s", name, strings.Join(Names(), ", "))
	}
	s, err := model.ParseShape(data)
	if err != nil {
		return model.Shape{}, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}
