{{- define "affect.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 30 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 30 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "affect.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "affect.labels" -}}
{{ include "affect.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "affect.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "affect.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "affect.secretName" -}}
{{- .Values.secrets.existing | default (include "affect.fullname" .) -}}
{{- end -}}

{{- define "affect.onOpenShift" -}}
{{- if eq (toString .Values.openshift) "auto" -}}
{{- if .Capabilities.APIVersions.Has "security.openshift.io/v1" }}yes{{ end -}}
{{- else if .Values.openshift }}yes{{ end -}}
{{- end -}}

{{- /* Configuration of a worker: its entry over the defaults. Arguments: root, name. */ -}}
{{- define "affect.worker" -}}
{{- $worker := mergeOverwrite (deepCopy .root.Values.workerDefaults) (deepCopy (index .root.Values.workers .name)) -}}
{{- $_ := set $worker "device" ($worker.device | default .root.Values.device) -}}
{{- if not $worker.resources -}}
{{- $_ := set $worker "resources" (index .root.Values.deviceResources $worker.device) -}}
{{- end -}}
{{- toJson $worker -}}
{{- end -}}

{{- /* Arguments: root, image (gateway, worker-gpu, worker-cpu). */ -}}
{{- define "affect.image" -}}
{{- $name := printf "%s-%s" .root.Values.image.prefix .image -}}
{{- $digest := index .root.Values.image.digests .image -}}
image: {{ ternary (printf "%s@%s" $name $digest) (printf "%s:%s" $name (.root.Values.image.tag | default .root.Chart.AppVersion)) (not (empty $digest)) | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
{{- end -}}

{{- /* Fields of a pod that all pods share. Arguments: root, config, component. */ -}}
{{- define "affect.podSettings" -}}
serviceAccountName: {{ include "affect.serviceAccountName" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .config.terminationGracePeriodSeconds | default 60 }}
securityContext:
  runAsNonRoot: true
  seccompProfile: { type: RuntimeDefault }
  {{- if not (include "affect.onOpenShift" .root) }}
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .config.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .config.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .config.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with .config.affinity }}
affinity: {{ toJson . }}
{{- else }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "affect.selector" .root | nindent 8 }}
        affect/deployment: {{ .component }}
{{- end }}
{{- end -}}

{{- define "affect.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end -}}

{{- define "affect.redisUrl" -}}
{{- if .Values.redis.enabled -}}
redis://{{ include "affect.fullname" . }}-redis:6379/0
{{- else -}}
{{- required "redis.url is required if redis.enabled is false." .Values.redis.url -}}
{{- end -}}
{{- end -}}

{{- define "affect.redisHasPassword" -}}
{{- if or .Values.redis.enabled .Values.redis.password }}yes{{ end -}}
{{- end -}}

{{- /* Environment of a process, as a list. Arguments: root, env (of the component), own (defaults of its kind). */ -}}
{{- define "affect.env" -}}
{{- $values := .root.Values -}}
{{- $env := dict
  "AFFECT_REDIS_URL" (include "affect.redisUrl" .root)
  "AFFECT_BLOB_URL" $values.storage.url
  "AFFECT_METRICS_HOST" "0.0.0.0"
  "AFFECT_METRICS_PORT" "9100"
  "HOME" "/tmp"
-}}
{{- if include "affect.redisHasPassword" .root -}}
{{- $_ := set $env "AFFECT_REDIS_PASSWORD_FILE" "/run/secrets/affect/redis_password" -}}
{{- end -}}
{{- with $values.traces.endpoint -}}
{{- $_ := set $env "AFFECT_TRACES" "true" -}}
{{- $_ := set $env "OTEL_EXPORTER_OTLP_ENDPOINT" . -}}
{{- end -}}
{{- range $name, $value := mergeOverwrite $env .own $values.settings .env }}
{{- $whole := and (kindIs "float64" $value) (eq (toString (floor $value)) (toString $value)) }}
- { name: {{ $name }}, value: {{ ternary (printf "%.0f" $value) (toString $value) $whole | quote }} }
{{- end -}}
{{- end -}}

{{- /* Arguments: root, secrets (keys of the Secret that the process reads), scratch (size). */ -}}
{{- define "affect.volumes" -}}
- name: secrets
  secret:
    secretName: {{ include "affect.secretName" .root }}
    items:
      {{- range .secrets }}
      - { key: {{ . }}, path: {{ . }} }
      {{- end }}
- name: data
  {{- if .root.Values.storage.url }}
  emptyDir: { sizeLimit: 1Gi }
  {{- else }}
  persistentVolumeClaim:
    claimName: {{ .root.Values.storage.volume.existingClaim | default (printf "%s-data" (include "affect.fullname" .root)) }}
  {{- end }}
- name: scratch
  emptyDir: { sizeLimit: {{ .scratch }} }
- name: tmp
  emptyDir: { medium: Memory, sizeLimit: 256Mi }
{{- end -}}

{{- define "affect.volumeMounts" -}}
- { name: secrets, mountPath: /run/secrets/affect, readOnly: true }
- { name: data, mountPath: /data }
- { name: scratch, mountPath: /scratch }
- { name: tmp, mountPath: /tmp }
{{- end -}}

{{- define "affect.storageCredentials" -}}
{{- with .Values.storage.credentials }}
envFrom:
  - secretRef: { name: {{ . }} }
{{- end }}
{{- end -}}

{{- define "affect.podMetadata" -}}
labels:
  {{- include "affect.selector" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .kind }}
  affect/deployment: {{ .component }}
  affect/job: {{ ternary "gateway" "worker" (eq .kind "gateway") }}
  {{- with .root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  checksum/secrets: {{ toJson .root.Values.secrets | sha256sum }}
  {{- with .root.Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
