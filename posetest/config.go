package posetest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/posetest/suite/posetest/session"
)

// A Config says what to run and with what. An empty field takes the environment variable named beside it, and without
// that the default.
type Config struct {
	Dir      string   // holds models/models.json, and maybe fixtures/ and golden/support.toml; default: the nearest folder upwards that does
	Data     []string // POSETEST_DATA, a path list: folders with what may not be committed
	Cache    string   // POSETEST_CACHE: runtimes and derived models; default posetest in the user's cache folder
	Runtimes string   // POSETEST_RUNTIMES: "", "all", or a list such as "1.22.1,openvino-1.23.0"
	Plugins  []string // POSETEST_PLUGINS, a list such as "webgpu-plugin=/opt/ep/libonnxruntime_providers_webgpu.so": providers that come in libraries of their own
	Library  string   // POSETEST_ORT: an ONNX Runtime library of your own, instead of Runtimes
	Require  []string // POSETEST_REQUIRE, a list: what may not be skipped: models, fixtures, runtimes by id, or "all" (default where CI is set)
	Offline  bool     // POSETEST_OFFLINE=1: install nothing

	Models     []string // only these ids
	Precisions []string // only these
	Providers  []string // only these

	Libraries []string // folders of libraries that runtimes need and this machine lacks, for Linux; see [UseBundle]

	Own     *OwnModel     // run this file instead of the catalogue's
	Threads int           // of one operator in a session; default 1, so that as many cells as cores run beside each other
	Workers int           // cells at a time; default the number of cores
	Timeout time.Duration // of one request to a worker; default 1 min
	Runs    int           // timed runs a cell; default 5
	Repeat  int           // POSETEST_REPEAT: times that a cell is observed, each in a worker of its own; what differs is flaky; default 1
	Today   time.Time     // the moment whose day, by UTC, quarantines are held to; default now
}

// An OwnModel is a model without an entry in a catalogue.
type OwnModel struct {
	Path   string
	Family string // of package pose
}

// ErrSetup marks an error of the set-up: nothing could be judged.
var ErrSetup = errors.New("set-up")

// complete fills what is empty. It is the only reader of the environment.
func (c Config) complete() (Config, error) {
	env := func(field *string, name string) {
		if *field == "" {
			*field = os.Getenv(name)
		}
	}
	env(&c.Cache, "POSETEST_CACHE")
	env(&c.Runtimes, "POSETEST_RUNTIMES")
	env(&c.Library, "POSETEST_ORT")
	if c.Data == nil {
		c.Data = filepath.SplitList(os.Getenv("POSETEST_DATA"))
	}
	c.Data = slices.DeleteFunc(slices.Clone(c.Data), func(dir string) bool { return dir == "" }) // "a:" names one folder
	if c.Plugins == nil {
		c.Plugins = words(os.Getenv("POSETEST_PLUGINS"))
	}
	c.Plugins = slices.Clone(c.Plugins)
	for i, plugin := range c.Plugins {
		id, path, _ := strings.Cut(plugin, "=")
		if !session.IsPlugin(id) {
			return c, fmt.Errorf("%w: POSETEST_PLUGINS: %q must be the name of a plug-in of `posetest providers`, =, and the path of its library", ErrSetup, plugin)
		}
		if !isFile(path) {
			return c, fmt.Errorf("%w: POSETEST_PLUGINS: the library of %s, %q, is no file; correct the path", ErrSetup, id, path)
		}
		path, err := filepath.Abs(path)
		if err != nil {
			return c, err
		}
		c.Plugins[i] = id + "=" + path
	}
	if c.Require == nil {
		c.Require = words(os.Getenv("POSETEST_REQUIRE"))
		if ci := os.Getenv("CI"); len(c.Require) == 0 && ci != "" && ci != "false" {
			c.Require = []string{"all"}
		}
	}
	c.Offline = c.Offline || os.Getenv("POSETEST_OFFLINE") == "1"

	if c.Cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return c, fmt.Errorf("%w: find the cache folder: %w; set POSETEST_CACHE", ErrSetup, err)
		}
		c.Cache = filepath.Join(dir, "posetest")
	}
	for i, dir := range c.Data {
		stat, err := os.Stat(dir)
		if err != nil || !stat.IsDir() {
			return c, fmt.Errorf("%w: POSETEST_DATA: %s is no folder; correct it, or unset it to run without that data", ErrSetup, dir)
		}
		if c.Data[i], err = filepath.Abs(dir); err != nil {
			return c, err
		}
	}
	for _, path := range []*string{&c.Dir, &c.Cache, &c.Library} {
		if *path == "" {
			continue
		}
		var err error
		if *path, err = filepath.Abs(*path); err != nil {
			return c, err
		}
	}
	if c.Threads == 0 {
		c.Threads = 1
	}
	if c.Workers == 0 {
		c.Workers = runtime.NumCPU()
	}
	if c.Runs == 0 {
		c.Runs = 5
	}
	if c.Today.IsZero() {
		c.Today = time.Now()
	}
	if c.Repeat == 0 {
		c.Repeat = 1
		if text := os.Getenv("POSETEST_REPEAT"); text != "" {
			var err error
			if c.Repeat, err = strconv.Atoi(text); err != nil {
				return c, fmt.Errorf("%w: POSETEST_REPEAT: %q is no number; give how often each cell is to be run, or unset it", ErrSetup, text)
			}
		}
	}
	if c.Repeat < 1 {
		return c, fmt.Errorf("%w: Config.Repeat (--repeat, POSETEST_REPEAT): a cell can't be run %d times; give 1 or more", ErrSetup, c.Repeat)
	}
	return c, nil
}

const modelsList = "models/models.json"

// findDir is the nearest folder, from the working directory upwards, that has a catalogue.
func findDir() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, modelsList)); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%w: no %s in %s or above; run in the repository, or set Config.Dir (--dir) to the folder that has it", ErrSetup, modelsList, wd)
		}
	}
}

// plugin is the path of the library of a provider that comes in one of its own, "" for others.
func (c Config) plugin(id string) string {
	for _, plugin := range c.Plugins {
		if path, ok := strings.CutPrefix(plugin, id+"="); ok {
			return path
		}
	}
	return ""
}

func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// Requires tells whether something that is missing may not be skipped, by its id.
func (c Config) Requires(ids ...string) bool {
	return slices.Contains(c.Require, "all") || slices.ContainsFunc(ids, func(id string) bool { return slices.Contains(c.Require, id) })
}

func selected(filter []string, word string) bool {
	return len(filter) == 0 || slices.Contains(filter, word)
}
