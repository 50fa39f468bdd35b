package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/ortlib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// A kubeJob is what these tests read of a Job of Kubernetes.
type kubeJob struct {
	Metadata struct{ Name string }
	Spec     struct {
		CompletionMode           string `yaml:"completionMode"`
		Completions, Parallelism int
		Template                 struct {
			Spec struct {
				NodeSelector map[string]string `yaml:"nodeSelector"`
				Containers   []struct {
					Image string
					Args  []string
					Env   []struct{ Name, Value string }
				}
			}
		}
	}
}

// A kustomization is what these tests read of one.
type kustomization struct {
	Resources []string
	Images    []struct{ Name string }
}

// A workflow is what these tests read of one of GitHub's.
type workflow struct {
	On struct {
		Dispatch struct {
			Inputs map[string]struct{ Default any }
		} `yaml:"workflow_dispatch"`
	}
	Jobs map[string]struct {
		Strategy struct {
			Matrix struct {
				Kind  []struct{ Platform, Also string }
				Shard []int
			}
		}
		Env   map[string]string
		Steps []struct {
			Run  string
			With map[string]any
			Env  map[string]string
		}
	}
}

func decodeYAML(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, filepath.FromSlash(path)))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, into), path)
}

// A process is one that a manifest starts: what it is given, and where its report lands.
type process struct {
	args []string
	env  map[string]string
	out  string // "" where an argument says it
}

// A fleet is all processes that observe, by the name of their run, and the one that joins what they saw.
type fleet struct {
	shards map[string][]process
	merge  process
}

// kubernetesFleet is what `kubectl apply -k` of both folders starts. /reports, the volume, is at a folder of this machine.
func kubernetesFleet(t *testing.T, reports string) fleet {
	f := fleet{shards: map[string][]process{}}
	var list kustomization
	decodeYAML(t, "deploy/kubernetes/shards/kustomization.yaml", &list)
	for _, name := range list.Resources {
		var job kubeJob
		if decodeYAML(t, "deploy/kubernetes/shards/"+name, &job); job.Spec.CompletionMode != "Indexed" {
			continue
		}
		for index := range job.Spec.Completions {
			p := podOf(t, job, reports, map[string]string{"JOB_COMPLETION_INDEX": fmt.Sprint(index)})
			f.shards[p.env["POSETEST_RUN"]] = append(f.shards[p.env["POSETEST_RUN"]], p)
		}
	}
	var job kubeJob
	decodeYAML(t, "deploy/kubernetes/merge/merge.yaml", &job)
	f.merge = podOf(t, job, reports, map[string]string{})
	return f
}

// podOf is the process of a pod, with its arguments as Kubernetes expands them.
func podOf(t *testing.T, job kubeJob, reports string, env map[string]string) process {
	t.Helper()
	require.Len(t, job.Spec.Template.Spec.Containers, 1)
	c := job.Spec.Template.Spec.Containers[0]
	for _, v := range c.Env {
		env[v.Name] = v.Value
	}
	p := process{env: env}
	for _, arg := range c.Args {
		arg = regexp.MustCompile(`\$\((\w+)\)`).ReplaceAllStringFunc(arg, func(name string) string {
			value, set := env[name[2:len(name)-1]]
			require.True(t, set, "%s: argument %s", job.Metadata.Name, arg)
			return value
		})
		p.args = append(p.args, strings.Replace(arg, "/reports", reports, 1))
	}
	return p
}

// githubFleet is what the workflow starts. Each report is uploaded, and all are downloaded into a folder.
func githubFleet(t *testing.T, observations string) fleet {
	var w workflow
	decodeYAML(t, ".github/workflows/sharded.yml", &w)
	f := fleet{shards: map[string][]process{}}
	for _, name := range []string{"shard", "cuda"} {
		job := w.Jobs[name]
		kinds := job.Strategy.Matrix.Kind
		if len(kinds) == 0 {
			kinds = append(kinds, struct{ Platform, Also string }{})
		}
		for _, kind := range kinds {
			for _, shard := range job.Strategy.Matrix.Shard {
				said := map[string]string{"matrix.kind.platform": kind.Platform, "matrix.kind.also": kind.Also, "matrix.shard": fmt.Sprint(shard),
					"inputs.runtimes": fmt.Sprint(w.On.Dispatch.Inputs["runtimes"].Default)}
				p := process{env: map[string]string{}}
				for variable, value := range job.Env {
					p.env[variable] = evaluate(t, value, said)
				}
				for _, step := range job.Steps {
					if flags, is := strings.CutPrefix(step.Run, "make report REPORT_FLAGS="); is {
						p.args = append([]string{"report"}, strings.Fields(strings.Trim(flags, "'"))...)
					}
					if step.With["path"] == "report/" {
						p.out = filepath.Join(observations, evaluate(t, step.With["name"].(string), said))
					}
				}
				require.NotEmpty(t, p.args, name)
				require.NotEmpty(t, p.out, name)
				f.shards[p.env["POSETEST_RUN"]] = append(f.shards[p.env["POSETEST_RUN"]], p)
			}
		}
	}
	for _, step := range w.Jobs["matrix"].Steps {
		if step.Run == "make merge OBSERVATIONS=observations" {
			flags := evaluate(t, step.Env["MERGE_FLAGS"], map[string]string{"inputs.cuda && ',cuda' || ''": ",cuda"})
			f.merge = process{args: append([]string{"merge", observations}, strings.Fields(flags)...), out: filepath.Join(filepath.Dir(observations), "merged")}
		}
	}
	require.NotEmpty(t, f.merge.args)
	return f
}

// evaluate puts values in the place of GitHub's expressions.
func evaluate(t *testing.T, text string, said map[string]string) string {
	t.Helper()
	return regexp.MustCompile(`\$\{\{ (.*?) \}\}`).ReplaceAllStringFunc(text, func(expression string) string {
		value, known := said[strings.TrimSuffix(strings.TrimPrefix(expression, "${{ "), " }}")]
		require.True(t, known, "expression %s", expression)
		return value
	})
}

// start prepares a process of a manifest as the command, with the manifest's environment, in a house.
func (p process) start(t *testing.T, h *house, more ...string) *run {
	t.Helper()
	var env []string
	for name, value := range p.env {
		env = append(env, name+"="+value)
	}
	args := append(slices.Clone(p.args), "--dir", h.dir)
	if p.out != "" {
		args = append(args, "--out", p.out)
	}
	return command(t, env, append(args, more...)...)
}

// timeless are the cells of a file of observations without what a clock tells.
func timeless(t *testing.T, path string) string {
	t.Helper()
	set, err := readSet(path)
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, observe.Write(&b, observe.Set{Observations: set.Timeless().Observations}))
	return b.String()
}

// All processes that a manifest starts, with its arguments and its environment, and the merge that it starts behind them,
// see what one process sees, byte for byte. Here they are all on one machine, so that each run gets cells of its own,
// in a house where none takes long; what a shard or a run lacks, or has twice, the merge names.
func TestShardedAsManifestsSay(t *testing.T) {
	installed(t)
	h := newHouse(t, "fp32", "int8", "uint8")
	h.write(t)
	tmp := t.TempDir()
	whole := filepath.Join(tmp, "whole")
	r := command(t, nil, "report", "--providers", "cpu,openvino,cuda", "--runtimes", ort, "--dir", h.dir, "--out", whole)
	require.Equal(t, 0, r.exit(t), "%s%s", r.out.String(), r.err.String())
	require.Contains(t, r.out.String(), "9 cells: ")
	_, verdict, _ := strings.Cut(r.out.String(), "9 cells: ")

	for _, row := range []struct {
		name   string
		fleet  fleet
		at     string              // where reports are
		cells  map[string][]string // of each run: flags
		broken [][]string          // for each damage: what to remove, or what to copy to where, and the words
	}{
		{"kubernetes", kubernetesFleet(t, filepath.Join(tmp, "reports")), filepath.Join(tmp, "reports", "shards"),
			map[string][]string{"cpu": {"--precisions", "fp32,int8"}, "cpu-arm64": {"--precisions", "uint8"}, "openvino": nil, "cuda": nil},
			[][]string{
				{"cpu-1", "", "shard 2/3 of run cpu is missing; run it with `posetest report --run cpu --shard 2/3`"},
				{"cpu-0", "cpu-again", "cpu-0/observations.jsonl and ", "cpu-again/observations.jsonl are both shard 1/3 of run cpu; name each once"},
				{"cuda-*", "", "--runs: run cuda is missing as a whole"},
				{"*", "", "shards has no observations.jsonl below it"},
			}},
		{"github", githubFleet(t, filepath.Join(tmp, "observations")), filepath.Join(tmp, "observations"),
			map[string][]string{"linux-amd64": {"--providers", "cpu", "--precisions", "fp32"}, "linux-arm64": {"--providers", "cpu", "--precisions", "int8"},
				"darwin-arm64": {"--providers", "cpu", "--precisions", "uint8"}, "windows-amd64": {"--providers", "openvino"}, "cuda": nil},
			[][]string{
				{"observations-darwin-arm64-3", "", "shard 3/3 of run darwin-arm64 is missing"},
				{"observations-cuda-1", "observations-cuda-3", "are both shard 1/2 of run cuda"},
				{"observations-windows-amd64-*", "", "--runs: run windows-amd64 is missing as a whole"},
			}},
	} {
		t.Run(row.name, func(t *testing.T) {
			require.Equal(t, slices.Sorted(maps.Keys(row.cells)), slices.Sorted(maps.Keys(row.fleet.shards)), "runs")
			for _, name := range slices.Sorted(maps.Keys(row.cells)) {
				var all []*run
				for _, p := range row.fleet.shards[name] {
					r := p.start(t, h, append(row.cells[name], "--runtimes", ort, "--workers", "1")...)
					require.NoError(t, r.Start())
					all = append(all, r)
				}
				for _, r := range all {
					require.NoError(t, r.Wait(), "%v: %s%s", r.Args, r.out.String(), r.err.String())
				}
			}
			merge := func() *run { return row.fleet.merge.start(t, h) }
			r := merge()
			require.Equal(t, 0, r.exit(t), "%s%s", r.out.String(), r.err.String())
			assert.Equal(t, timeless(t, filepath.Join(whole, "observations.jsonl")), timeless(t, filepath.Join(filepath.Dir(row.at), "merged", "observations.jsonl")))
			assert.Contains(t, r.out.String(), "9 cells: "+verdict)

			for _, b := range row.broken {
				undo := damage(t, row.at, b[0], b[1])
				r := merge()
				require.Equal(t, 2, r.exit(t), "%v: %s", b, r.out.String())
				for _, words := range b[2:] {
					assert.Contains(t, filepath.ToSlash(r.sentence(t)), words)
				}
				undo()
			}
			r = merge()
			require.Equal(t, 0, r.exit(t), "whole again: %s", r.err.String())
		})
	}
}

// damage moves folders that a pattern matches away, or copies the one that it is to another; undo takes it back.
func damage(t *testing.T, dir, pattern, to string) (undo func()) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	require.NoError(t, err)
	require.NotEmpty(t, found)
	if to != "" {
		require.NoError(t, os.CopyFS(filepath.Join(dir, to), os.DirFS(found[0])))
		return func() { require.NoError(t, os.RemoveAll(filepath.Join(dir, to))) }
	}
	away := t.TempDir()
	for _, path := range found {
		require.NoError(t, os.Rename(path, filepath.Join(away, filepath.Base(path))))
	}
	return func() {
		for _, path := range found {
			require.NoError(t, os.Rename(filepath.Join(away, filepath.Base(path)), path))
		}
	}
}

// Manifests hold together: what stands in two of them is the same in both, and each run can be where its nodes are.
func TestManifestsHoldTogether(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(repository, "deploy/kubernetes/shards/*.yaml"))
	require.NoError(t, err)
	var list kustomization
	decodeYAML(t, "deploy/kubernetes/shards/kustomization.yaml", &list)
	assert.Len(t, list.Resources, len(paths)-1, "each file is a resource")
	known, err := ortlib.Known()
	require.NoError(t, err)
	var runs []string
	images := map[string]bool{}
	for name, pods := range kubernetesFleet(t, "/reports").shards {
		runs = append(runs, name)
		var job kubeJob
		decodeYAML(t, "deploy/kubernetes/shards/"+name+".yaml", &job)
		spec := job.Spec.Template.Spec
		assert.Equal(t, "posetest-"+name, job.Metadata.Name)
		assert.Equal(t, len(pods), job.Spec.Parallelism, "%s: shards that run beside each other", name)
		assert.Equal(t, fmt.Sprint(len(pods)), pods[0].env["POSETEST_SHARDS"], "%s: POSETEST_SHARDS and completions", name)
		image, _, _ := strings.Cut(spec.Containers[0].Image, "@")
		images[image] = true
		assert.Equal(t, "linux", spec.NodeSelector["kubernetes.io/os"], name)
		platform := "linux/" + spec.NodeSelector["kubernetes.io/arch"]
		provider, _ := strings.CutPrefix(pods[0].args[1], "--providers=")
		runtimes, err := ortlib.Select(known, pods[0].env["POSETEST_RUNTIMES"])
		require.NoError(t, err)
		for _, r := range runtimes {
			assert.Contains(t, r.Platforms[platform].Providers, provider, "%s: %s has it on %s", name, r, platform)
		}
		assert.Equal(t, "movenet-lightning,"+pods[0].env["POSETEST_RUNTIMES"], pods[0].env["POSETEST_REQUIRE"], "%s: nothing may be skipped", name)
	}
	merge := kubernetesFleet(t, "/reports").merge
	asked, _ := strings.CutPrefix(merge.args[2], "--runs=")
	assert.ElementsMatch(t, runs, strings.Split(asked, ","), "runs that the merge asks for")
	var named []string
	for _, image := range list.Images {
		named = append(named, image.Name)
	}
	assert.ElementsMatch(t, slices.Collect(maps.Keys(images)), named, "images of the kustomization")

	providers := map[string][]string{} // of each run
	for name, shards := range githubFleet(t, "observations").shards {
		platform := strings.Replace(name, "-", "/", 1)
		if name == "cuda" {
			platform = "linux/amd64"
		}
		runtimes, err := ortlib.Select(known, shards[0].env["POSETEST_RUNTIMES"])
		require.NoError(t, err)
		for _, r := range runtimes {
			assert.Contains(t, r.Platforms, platform, "%s: %s has a build for it", name, r)
			providers[name] = append(providers[name], r.Platforms[platform].Providers...)
		}
		for i, p := range shards {
			assert.Equal(t, fmt.Sprintf("%d/%d", i+1, len(shards)), p.env["POSETEST_SHARD"], name)
		}
	}
	for name, provider := range map[string]string{"linux-amd64": "openvino", "darwin-arm64": "coreml", "windows-amd64": "directml", "cuda": "cuda"} {
		assert.Contains(t, providers[name], provider, "a runtime of run %s brings it", name)
	}
}
