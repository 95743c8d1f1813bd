package dcgm

import (
	_ "github.com/NVIDIA/go-dcgm/pkg/dcgm"
	_ "github.com/prometheus/client_model/go"
	_ "github.com/prometheus/common/expfmt"
	_ "github.com/prometheus/exporter-toolkit/web"
)
