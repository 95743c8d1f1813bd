package shapes_test

import (
	"testing"

	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/shapes"
)

func TestEveryShapeBoots(t *testing.T) {
	for _, name := range shapes.Names() {
		s, err := shapes.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if s.Name != name {
			t.Errorf("%s.yaml is named %q", name, s.Name)
		}
		n, err := model.New(s, model.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i, g := range n.Status().GPUs {
			if g.Index != i {
				t.Errorf("%s: driver %s does not know GPU %d (%s)", name, s.Driver, i, g.Name)
			}
		}
	}
	if _, err := shapes.Load("nothing"); err == nil {
		t.Error("an unknown shape loads")
	}
}
