"""FDEs of documents and of queries, 20 repetitions of 2^5 blocks of 16 numbers: 10,240 numbers each."""

from benchmarks.page.methods import tokens

__all__ = ["fastembed", "muvera_fde", "muvera_python", "muvfde", "vectorplug"]

REPETITIONS, KSIM, DPROJ, SEED = 20, 5, 16, 42


def vectorplug(folder, fill):
    from vectorplug import MultiVectors, Muvera

    documents, queries = _given(folder)
    kept, asked = MultiVectors.from_list(documents), MultiVectors.from_list(queries)
    ours = Muvera(dim=kept.dim, repetitions=REPETITIONS, ksim=KSIM, dproj=DPROJ, seed=SEED, fill=fill)
    return {"documents": lambda: ours.encode_documents(kept), "queries": lambda: ours.encode_queries(asked)}, {}


def fastembed(folder):
    from fastembed.postprocess import Muvera

    documents, queries = _given(folder)
    peer = Muvera(dim=documents[0].shape[1], k_sim=KSIM, dim_proj=DPROJ, r_reps=REPETITIONS, random_seed=SEED)
    return {
        "documents": lambda: [peer.process_document(each) for each in documents],
        "queries": lambda: [peer.process_query(each) for each in queries],
    }, {}


def muvera_python(folder):
    """Rust kernels under NumPy; its batches are faster than its single calls."""
    from muvera import Muvera

    documents, queries = _given(folder)
    peer = Muvera(
        num_repetitions=REPETITIONS,
        num_simhash_projections=KSIM,
        dimension=documents[0].shape[1],
        projection_type="ams_sketch",
        projection_dimension=DPROJ,
        seed=SEED,
    )
    return {"documents": lambda: peer.encode_documents(documents), "queries": lambda: peer.encode_queries(queries)}, {}


def muvera_fde(folder):
    """Google's own C++."""
    from muvera_fde import EncodingType, FixedDimensionalEncoder, FixedDimensionalEncodingConfig, ProjectionType

    documents, queries = _given(folder)

    def encoder(kind):
        return FixedDimensionalEncoder(
            FixedDimensionalEncodingConfig(
                dimension=documents[0].shape[1],
                num_repetitions=REPETITIONS,
                num_simhash_projections=KSIM,
                seed=SEED,
                encoding_type=kind,
                projection_dimension=DPROJ,
                projection_type=ProjectionType.AMS_SKETCH,
                fill_empty_partitions=kind == EncodingType.AVERAGE,
            )
        )

    of_documents, of_queries = encoder(EncodingType.AVERAGE), encoder(EncodingType.DEFAULT_SUM)
    return {
        "documents": lambda: [of_documents.encode(each) for each in documents],
        "queries": lambda: [of_queries.encode(each) for each in queries],
    }, {}


def muvfde(folder):
    """C++ after Google's."""
    import muvfde as peer

    documents, queries = _given(folder)

    def configured(kind):
        config = peer.fixed_dimensional_encoding_config()
        config.set_num_repetitions(REPETITIONS).set_num_simhash_projections(KSIM).set_seed(SEED)
        config.set_projection_dimension(DPROJ).set_projection_type(peer.projection_type.AMS_SKETCH)
        return config.set_encoding_type(kind).enable_fill_empty(kind == peer.encoding_type.AVERAGE)

    average, total = configured(peer.encoding_type.AVERAGE), configured(peer.encoding_type.DEFAULT_SUM)
    encode = peer.generate_fixed_dimensional_encoding
    return {
        "documents": lambda: [encode(each, average) for each in documents],
        "queries": lambda: [encode(each, total) for each in queries],
    }, {}


def _given(folder):
    return tokens.documents(folder), tokens.queries(folder)
