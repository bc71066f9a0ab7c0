# Any Debian image with python3 3.11, its venv module and pip will do as BASE.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

# For example --extra-index-url https://download.pytorch.org/whl/cpu, which spares
# several GB where no GPU is used.
ARG PIP_OPTIONS=""

LABEL org.opencontainers.image.title="bidsclf" \
      org.opencontainers.image.description="A BIDS-App that learns diagnoses from fMRIPrep derivatives" \
      org.opencontainers.image.licenses="Apache-2.0"

WORKDIR /opt/bidsclf
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY bidsclf ./bidsclf
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check \
       ${PIP_OPTIONS} -c constraints.txt . \
    && rm -r bidsclf \
    && install -d -m 0755 /opt/templateflow
COPY run.py ./

# Atlases that nilearn fetches are not in the image. To bake some in, build where there
# is a network with --build-arg ATLASES="schaefer200 msdl"; one that cannot be fetched
# ends the build.
ARG ATLASES=""
ENV NILEARN_DATA=/opt/nilearn_data
RUN install -d -m 0755 "$NILEARN_DATA" \
    && for name in ${ATLASES}; do \
         timeout 300 /opt/venv/bin/python -c "import sys; \
from bidsclf.features._atlas import load_atlas; load_atlas(sys.argv[1])" "$name" \
         || exit 1; \
       done \
    && chmod -R a+rX "$NILEARN_DATA"

# HOME stays as it is, for apptainer. Whatever a library wants to keep goes to /tmp,
# so that the root may be read-only and the user anybody.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONNOUSERSITE=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TEMPLATEFLOW_HOME=/opt/templateflow \
    TEMPLATEFLOW_AUTOUPDATE=0 \
    MPLCONFIGDIR=/tmp/matplotlib \
    XDG_CACHE_HOME=/tmp/cache \
    NUMBA_CACHE_DIR=/tmp/numba \
    NIPYPE_CONFIG_DIR=/tmp/nipype \
    NO_ET=1 \
    NIPYPE_NO_ET=1

WORKDIR /tmp
ENTRYPOINT ["/opt/venv/bin/python", "/opt/bidsclf/run.py"]
