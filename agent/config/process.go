package config

// processSettings are the rows that are not in the file: the process needs them before it can read one.
func processSettings() []Setting {
	row := func(flag, def, about string, field func(*Process) *string) Setting {
		return Setting{
			Flag: flag, Default: def, About: about, Kind: Text,
			set: func(c *Config, _ spot, v values) { *field(&c.Process) = v.text() },
		}
	}
	path := func(s Setting) Setting {
		s.valid = absolute
		return s
	}
	word := func(s Setting, words ...string) Setting {
		s.Kind, s.Values = Enum, words
		return s
	}
	node := row("node-name", "", "The name of this Node. Empty: the API server is not used.", func(p *Process) *string { return &p.NodeName })
	node.env = "NODE_NAME"
	listen := row("listen", ":9400", "Address of /metrics, /healthz, /readyz and /api/v1/status; empty: none.", func(p *Process) *string { return &p.Listen })
	listen.valid = address
	return []Setting{
		path(row("config", "", "The configuration file; empty: defaults, environment and flags alone.", func(p *Process) *string { return &p.File })),
		node,
		path(row("state-dir", "/var/lib/gpulet", "Folder that outlives the agent: claims, health, the lock of this node.", func(p *Process) *string { return &p.StateDir })),
		path(row("run-dir", "/run/gpulet", "Folder of the admin socket, one per agent.", func(p *Process) *string { return &p.RunDir })),
		path(row("kubelet-root", "/var/lib/kubelet", "The kubelet's --root-dir: the sockets of podresources and the Pods API.", func(p *Process) *string { return &p.KubeletRoot })),
		path(row("device-plugins-dir", "", "The kubelet's device-plugins folder; empty: device-plugins below kubelet-root.", func(p *Process) *string { return &p.DevicePluginsDir })),
		path(row("cdi-dir", "/var/run/cdi", "Folder of the CDI specs.", func(p *Process) *string { return &p.CDIDir })),
		path(row("nvml-library", "", "Path of libnvidia-ml.so.1; empty: as the loader finds it, then below driver-root.", func(p *Process) *string { return &p.NVMLLibrary })),
		path(row("driver-root", "/", "Root of the driver's files as the agent sees it.", func(p *Process) *string { return &p.DriverRoot })),
		path(row("dev-root", "/dev", "Folder of the device nodes as the agent sees it.", func(p *Process) *string { return &p.DevRoot })),
		path(row("proc-root", "/proc", "The host's /proc as the agent sees it.", func(p *Process) *string { return &p.ProcRoot })),
		path(row("sys-root", "/sys", "The host's /sys as the agent sees it.", func(p *Process) *string { return &p.SysRoot })),
		path(row("host-driver-root", "", "The driver root as the host sees it; empty: the same.", func(p *Process) *string { return &p.HostDriverRoot })),
		path(row("host-dev-root", "", "Folder of the device nodes as the host sees it; empty: the same.", func(p *Process) *string { return &p.HostDevRoot })),
		path(row("host-state-dir", "", "The state folder as the host sees it, where the runtime finds the hooks; empty: the same.", func(p *Process) *string { return &p.HostStateDir })),
		word(row("api-server", "auto", "Whether the API server is used; `auto`: where a node name and credentials are.", func(p *Process) *string { return &p.APIServer }), "auto", "on", "off"),
		path(row("kubeconfig", "", "Credentials for the API server; empty: the pod's service account.", func(p *Process) *string { return &p.Kubeconfig })),
		listen,
		path(row("web-config-file", "", "TLS and basic authentication of that address, in the form of Prometheus's exporter toolkit; probes then need the same.", func(p *Process) *string { return &p.WebConfigFile })),
		{
			Flag: "web-systemd-socket", Kind: Bool, Default: "false", About: "Serve on the sockets that systemd hands over instead of `listen`.",
			set: func(c *Config, _ spot, v values) { c.Process.SystemdSocket = v.bool() },
		},
		path(row("status-token-file", "", "File with the bearer token that opens /api/v1/status beyond loopback; empty: loopback only.", func(p *Process) *string { return &p.StatusTokenFile })),
		word(row("log-level", "info", "The least level that is logged.", func(p *Process) *string { return &p.LogLevel }), "debug", "info", "warn", "error"),
		word(row("log-format", "text", "The form of a log line.", func(p *Process) *string { return &p.LogFormat }), "text", "json"),
	}
}
