// Command schemas writes, into the folder that it is given, JSON schemas of the kinds of Kubernetes that deploy/kubernetes has, for
// kubeconform. They are of the Go types of k8s.io/api in the version that tools/go.mod pins: a field that a type lacks is refused,
// as is a value of another type, and what JSON can't leave out must be there. Run it by `make schemas`.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"strings"

	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// kinds are those that there are schemas of; files are named as kubeconform's {{.ResourceKind}}{{.KindSuffix}}.
var kinds = []struct {
	file, apiVersion, kind string
	of                     reflect.Type
}{
	{"job-batch-v1.json", "batch/v1", "Job", reflect.TypeFor[batch.Job]()},
	{"persistentvolumeclaim-v1.json", "v1", "PersistentVolumeClaim", reflect.TypeFor[core.PersistentVolumeClaim]()},
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "schemas: name the folder to write into")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "schemas:", err)
		os.Exit(2)
	}
}

func write(folder string) error {
	made, err := from()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, k := range kinds {
		defs := definitions{}
		root := defs.object(k.of)
		properties := root["properties"].(schema)
		properties["apiVersion"], properties["kind"] = schema{"const": k.apiVersion}, schema{"const": k.kind}
		root["required"] = []string{"apiVersion", "kind", "metadata", "spec"}
		root["$schema"], root["$comment"], root["$defs"] = "https://json-schema.org/draft/2020-12/schema", made, defs
		text, err := json.MarshalIndent(root, "", " ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, k.file), append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// from says what schemas are made from.
func from() (string, error) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "", fmt.Errorf("the program does not know its modules: build it with `make schemas`")
	}
	for _, module := range info.Deps {
		if module.Path == "k8s.io/api" {
			return "Written by `make schemas` from the types of k8s.io/api " + module.Version + ", Apache-2.0.", nil
		}
	}
	return "", fmt.Errorf("the program does not know the version of k8s.io/api: build it with `make schemas`")
}

type schema = map[string]any

// definitions are the schemas of struct types, by name.
type definitions map[string]schema

// own are types that write themselves as JSON.
var own = map[reflect.Type]schema{
	reflect.TypeFor[resource.Quantity]():  {"type": []string{"string", "number"}},
	reflect.TypeFor[intstr.IntOrString](): {"type": []string{"string", "integer"}},
	reflect.TypeFor[meta.Time]():          {"type": "string"},
	reflect.TypeFor[meta.MicroTime]():     {"type": "string"},
	reflect.TypeFor[meta.FieldsV1]():      {"type": "object"},
}

// of is a type's schema; structs stand in the definitions.
func (d definitions) of(t reflect.Type) schema {
	if s, is := own[t]; is {
		return s
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.of(t.Elem())
	case reflect.String:
		return schema{"type": "string"}
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Int, reflect.Int32, reflect.Int64:
		return schema{"type": "integer"}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 { // base64
			return schema{"type": "string"}
		}
		return schema{"type": "array", "items": d.of(t.Elem())}
	case reflect.Map:
		return schema{"type": "object", "additionalProperties": d.of(t.Elem())}
	case reflect.Struct:
		name := strings.ReplaceAll(t.PkgPath(), "/", ".") + "." + t.Name()
		if _, done := d[name]; !done {
			d[name] = nil // for types that have themselves in them
			d[name] = d.object(t)
		}
		return schema{"$ref": "#/$defs/" + name}
	}
	panic(fmt.Sprintf("schemas: no schema is known for %v", t))
}

// object is the schema of a struct.
func (d definitions) object(t reflect.Type) schema {
	properties, required := schema{}, []string{}
	d.fields(t, properties, &required)
	s := schema{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// fields adds those of a struct, and those of structs that are in it without a name.
func (d definitions) fields(t reflect.Type, properties schema, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case name == "" && f.Anonymous:
			d.fields(f.Type, properties, required)
		default:
			properties[name] = d.of(f.Type)
			if !strings.Contains(options, "omit") {
				*required = append(*required, name)
			}
		}
	}
}
