# Trains and serves, as SageMaker starts a container of its own: `docker run IMAGE train`, `docker run IMAGE serve`.
FROM python:3.11-slim-bookworm

LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /opt/tfod_transfer
# Before the package, so that a change of it does not install everything again.
COPY requirements/primary.lock requirements/
RUN python -m pip install --no-cache-dir --no-deps --require-hashes -r requirements/primary.lock
COPY setup.py pyproject.toml MANIFEST.in README.md LICENSE model_registry.yaml ./
COPY scripts/transfer_learning.py scripts/
COPY tfod_transfer tfod_transfer
RUN python -m pip install --no-cache-dir --no-deps --no-build-isolation .
COPY docker/train docker/serve /usr/local/bin/

WORKDIR /opt/ml
EXPOSE 8080
CMD ["serve"]
