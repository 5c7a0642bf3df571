"""Manifests with nothing wrong in them, for tests to spoil."""

ROLLOUT = """\
apiVersion: sluice.dev/v1alpha1
kind: Rollout
metadata: {name: checkout, namespace: shop}
spec:
  workload:
    services: {blue: checkout-blue, green: checkout-green}
    active: blue
  traffic:
    routes:
    - name: checkout
  strategy:
    canary:
      steps:
      - setWeight: 25
"""
TEMPLATE = """\
apiVersion: sluice.dev/v1alpha1
kind: AnalysisTemplate
metadata: {name: http, namespace: shop}
spec:
  args:
  - name: job
  metrics:
  - name: errors
    prometheus: {query: 'errors{job="{{args.job}}", slot="{{slot}}"}'}
    threshold: {max: 1}
"""
ANALYSIS = """\
  analysis:
    templates:
    - name: http
    args:
    - {name: job, value: web}
"""
